// Video frames -> textures, as RGB that the browser makes, or as the planes that the frame holds.
//
// With a graphics card the browser's way costs nothing. Where the CPU draws, it takes longer than all
// else, and copying planes is quick.

const RGBA = "RGBA";
const LUMA_SHARES = { // of red and blue
  bt709: [0.2126, 0.0722], smpte170m: [0.299, 0.114], bt470bg: [0.299, 0.114],
};
const DRAWN_BY_CPU = /swiftshader|llvmpipe|softpipe|software|basic render/i;

export class FrameTexture {
  constructor(gl, makeTexture) {
    this.gl = gl;
    this.textures = ["frame", "luma", "chroma", "second"].map(
      (name, unit) => ({ name, unit, texture: makeTexture() }));
    this.form = RGBA;
    this.width = this.height = 0;
    this.sizes = {};
    const names = gl.getExtension("WEBGL_debug_renderer_info");
    const drawer = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    this.direct = !DRAWN_BY_CPU.test(drawer); // the browser's way
    this.bytes = new Uint8Array(0);
  }

  // Take a frame; its pixels are then those of `form`.
  async upload(frame, width, height) {
    if (width !== this.width || height !== this.height) {
      this.width = width;
      this.height = height;
      this.sizes = {};
    }
    if (this.direct || !hasPlanes(frame, width, height)) this.uploadDirect(frame);
    else await this.uploadPlanes(frame);
  }

  uploadDirect(frame) {
    this.form = RGBA;
    this.store("frame", this.gl.RGBA8, this.gl.RGBA, this.width, this.height, frame);
  }

  async uploadPlanes(frame) {
    const { gl, width, height } = this;
    const size = frame.allocationSize();
    if (this.bytes.length !== size) this.bytes = new Uint8Array(size);
    const { format, colorSpace } = frame;
    const layout = await frame.copyTo(this.bytes);
    const planes = layout.map(({ offset }) => this.bytes.subarray(offset));
    const half = [Math.ceil(width / 2), Math.ceil(height / 2)];
    this.store("luma", gl.R8, gl.RED, width, height, planes[0], layout[0].stride);
    if (format === "NV12") {
      this.store("chroma", gl.RG8, gl.RG, ...half, planes[1], layout[1].stride / 2);
    } else {
      this.store("chroma", gl.R8, gl.RED, ...half, planes[1], layout[1].stride);
      this.store("second", gl.R8, gl.RED, ...half, planes[2], layout[2].stride);
    }
    this.form = format;
    this.colour = describeColour(colorSpace);
  }

  // Fill a texture, of a row of `stride` texels; a new one where the size is new.
  store(name, internal, kind, width, height, source, stride = 0) {
    const { gl } = this;
    const { unit, texture } = this.textures.find((t) => t.name === name);
    const key = `${internal} ${width} ${height}`;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, stride);
    if (this.sizes[name] !== key) {
      this.sizes[name] = key;
      gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, kind, gl.UNSIGNED_BYTE, source);
    } else {
      gl.texSubImage2D(
        gl.TEXTURE_2D, 0, 0, 0, width, height, kind, gl.UNSIGNED_BYTE, source);
    }
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, 0);
  }

  // Tell a program where the frame is.
  bind(program) {
    const { gl } = this;
    for (const { name, unit } of this.textures) {
      if (program[name]) gl.uniform1i(program[name], unit);
    }
    if (program.gain) {
      const { gain, green, blueRed, offset } = this.colour;
      gl.uniform1f(program.gain, gain);
      gl.uniform2fv(program.green, green);
      gl.uniform2fv(program.blueRed, blueRed);
      gl.uniform3fv(program.offset, offset);
    }
  }
}

// Whether a frame's planes can be taken as they are.
function hasPlanes(frame, width, height) {
  const { visibleRect, colorSpace } = frame;
  return (frame.format === "NV12" || frame.format === "I420")
    && colorSpace.matrix in LUMA_SHARES
    && visibleRect.width === width && visibleRect.height === height
    && visibleRect.x % 2 === 0 && visibleRect.y % 2 === 0
    && width % 2 === 0 && height % 2 === 0;
}

// Return what turns brightness and colour into RGB, by ITU-T H.273.
function describeColour({ matrix, fullRange }) {
  const [red, blue] = LUMA_SHARES[matrix];
  const rest = 1 - red - blue;
  const gain = fullRange ? 1 : 255 / 219, chroma = fullRange ? 1 : 255 / 224;
  const ofBlue = 2 * (1 - blue) * chroma, ofRed = 2 * (1 - red) * chroma;
  const green = [(-blue / rest) * ofBlue, (-red / rest) * ofRed];
  const black = fullRange ? 0 : (16 / 255) * gain, grey = 128 / 255;
  const offset = [
    -black - grey * ofRed, -black - grey * (green[0] + green[1]), -black - grey * ofBlue];
  return { gain, green, blueRed: [ofBlue, ofRed], offset };
}
