// Video frame -> small picture for the network; frame and what it made -> the canvas.

import { FrameTexture } from "./frame_texture.js";
import { write } from "./shaders.js";

const LAYERS = 4; // of four channels, for the 15 of the maps
const CHANNELS = 15;
const MAPS_UNIT = 4, ENHANCED_UNIT = 5, TARGET_UNIT = 6; // the frame has those below
const POLL_MS = 1;

export class Renderer {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
    if (!this.gl) {
      throw new Error("This browser has no WebGL 2, which draws the picture. "
        + "Switch hardware acceleration on in its settings, or use another browser.");
    }
    this.build();
  }

  // Make what lives on the GPU; again after the browser took it away.
  build() {
    const { gl } = this;
    this.grid = 0;
    this.forget();
    this.programs = new Map();
    this.frame = new FrameTexture(gl, () => this.makeTexture());
    this.enhanced = this.makeTexture();
    this.maps = this.makeTexture();
    this.small = this.makeTexture();
    this.smallSize = "";
    this.target = gl.createFramebuffer();
    this.buffer = gl.createBuffer();
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  get lost() {
    return this.gl.isContextLost();
  }

  get width() {
    return this.frame.width;
  }

  get height() {
    return this.frame.height;
  }

  // Whether there is something of the network to draw.
  get ready() {
    return this.hasMaps || this.hasEnhanced;
  }

  forget() {
    this.hasMaps = this.hasEnhanced = false;
  }

  // Take the next frame; says whether its size is new, and then nothing is known of it.
  async upload(frame, width, height) {
    const resized = width !== this.width || height !== this.height;
    await this.frame.upload(frame, width, height);
    if (resized) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.forget();
    }
    return resized;
  }

  // Begin to read the small square picture that the network sees; the page goes on meanwhile.
  async shrink(side) {
    return await this.render("SHRINK", side, side);
  }

  // Begin to read the whole frame.
  async readFrame() {
    return await this.render("COPY", this.width, this.height);
  }

  async render(step, width, height) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    if (this.smallSize !== `${width} ${height}`) {
      this.smallSize = `${width} ${height}`;
      gl.activeTexture(gl.TEXTURE0 + TARGET_UNIT);
      gl.bindTexture(gl.TEXTURE_2D, this.small);
      gl.texImage2D(
        gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
      gl.framebufferTexture2D(
        gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.small, 0);
    }
    const program = this.use(step);
    gl.uniform1f(program.side, width);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, this.buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, 4 * width * height, gl.STREAM_READ);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    await this.finish();
    const pixels = new Uint8Array(4 * width * height);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, this.buffer);
    gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, pixels);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    return pixels;
  }

  // Wait until the GPU has done what it was told so far.
  async finish() {
    const { gl } = this;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (this.lost) throw new Error("The graphics card was taken away.");
      const found = gl.clientWaitSync(fence, 0, 0);
      if (found === gl.ALREADY_SIGNALED || found === gl.CONDITION_SATISFIED) break;
    }
    gl.deleteSync(fence);
  }

  // Keep the network's maps, [15,grid,grid]: layers of four channels, one below the other.
  setMaps(maps, grid, own) {
    const { gl } = this;
    const cells = grid * grid;
    const texels = new Float32Array(4 * LAYERS * cells);
    for (let channel = 0; channel < CHANNELS; channel += 1) {
      const start = 4 * (channel >> 2) * cells + (channel & 3);
      for (let cell = 0; cell < cells; cell += 1) {
        texels[start + 4 * cell] = maps[channel * cells + cell];
      }
    }
    gl.activeTexture(gl.TEXTURE0 + MAPS_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.maps);
    gl.texImage2D(
      gl.TEXTURE_2D, 0, gl.RGBA32F, grid, LAYERS * grid, 0, gl.RGBA, gl.FLOAT, texels);
    this.grid = grid;
    this.own = own;
    this.hasMaps = true;
    this.hasEnhanced = false;
  }

  // Keep a frame that the network has enhanced whole, RGBA.
  setEnhanced(pixels, width, height) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + ENHANCED_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, this.enhanced);
    gl.texImage2D(
      gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    this.hasMaps = false;
    this.hasEnhanced = true;
  }

  // Draw the frame, from `split` (0 left to 1 right) on enhanced.
  draw(split, strength) {
    const { gl, width, height } = this;
    const edge = this.ready && strength > 0 ? Math.round(split * width) : width;
    gl.viewport(0, 0, width, height);
    gl.enable(gl.SCISSOR_TEST);
    if (edge > 0) {
      gl.scissor(0, 0, edge, height);
      this.use("PLAIN");
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    if (edge < width) {
      gl.scissor(edge, 0, width - edge, height);
      const program = this.use(this.hasMaps ? "MAPPED" : "WHOLE");
      gl.uniform1f(program.strength, strength);
      gl.uniform1f(program.own, this.own);
      gl.uniform1i(program.grid, this.grid);
      if (this.hasMaps) gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, (this.grid + 1) ** 2);
      else gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    gl.disable(gl.SCISSOR_TEST);
  }

  // Take a step's program for the form that the frame has; it is built when it is first used.
  use(step) {
    const { gl } = this;
    const name = `${step} ${this.frame.form}`;
    if (!this.programs.has(name)) {
      this.programs.set(name, link(gl, ...write(step, this.frame.form)));
    }
    const program = this.programs.get(name);
    gl.useProgram(program.program);
    gl.uniform1i(program.maps, MAPS_UNIT);
    gl.uniform1i(program.enhanced, ENHANCED_UNIT);
    this.frame.bind(program);
    return program;
  }

  makeTexture() {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + TARGET_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return texture;
  }
}

// Build a program; its uniforms are found by their names.
function link(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const said = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The shaders could not be built: ${said.join(" ")}`);
  }
  const found = { program };
  const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
  for (let i = 0; i < count; i += 1) {
    const { name } = gl.getActiveUniform(program, i);
    found[name] = gl.getUniformLocation(program, name);
  }
  return found;
}
