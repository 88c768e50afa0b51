// GLSL: full frame -> small picture; full frame and what a network made -> enhanced frame.
// Row 0 of every texture is the picture's top, as pictures are uploaded; the canvas has its first
// row at the bottom.

const HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
`;

// How a pixel of the frame is picked, by its number or at `place`, and by the form that the frame
// has: RGB, or brightness and colour; the latter stands for the 2x2 pixels that it covers, as in
// training.
const TO_RGB = `
uniform float gain;
uniform vec2 green;
uniform vec2 blueRed;
uniform vec3 offset;
vec3 toRgb(float luma, vec2 chroma) {
  float grey = gain * luma;
  vec3 rgb = vec3(grey + blueRed.y * chroma.y, grey + dot(green, chroma), grey + blueRed.x * chroma.x);
  return clamp(rgb + offset, 0.0, 1.0);
}`;
const PICKS = {
  RGBA: `
uniform sampler2D frame;
ivec2 frameSize() { return textureSize(frame, 0); }
vec3 pickAt(ivec2 here) { return texelFetch(frame, here, 0).rgb; }
vec3 pick(vec2 place) { return texture(frame, place).rgb; }`,
  NV12: `${TO_RGB}
uniform sampler2D luma;
uniform sampler2D chroma;
ivec2 frameSize() { return textureSize(luma, 0); }
vec3 pickAt(ivec2 here) {
  return toRgb(texelFetch(luma, here, 0).r, texelFetch(chroma, here / 2, 0).rg);
}
vec3 pick(vec2 place) { return toRgb(texture(luma, place).r, texture(chroma, place).rg); }`,
  I420: `${TO_RGB}
uniform sampler2D luma;
uniform sampler2D chroma;
uniform sampler2D second;
ivec2 frameSize() { return textureSize(luma, 0); }
vec3 pickAt(ivec2 here) {
  ivec2 block = here / 2;
  vec2 colour = vec2(texelFetch(chroma, block, 0).r, texelFetch(second, block, 0).r);
  return toRgb(texelFetch(luma, here, 0).r, colour);
}
vec3 pick(vec2 place) {
  return toRgb(texture(luma, place).r, vec2(texture(chroma, place).r, texture(second, place).r));
}`,
};

// A triangle that covers the target.
const COVER = `#version 300 es
out vec2 place;
void main() {
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
  place = vec2(0.5 + 0.5 * corner.x, 0.5 - 0.5 * corner.y);
}`;

// What the networks are trained with: a grid of twice the side, sampled bilinearly by hand (GPUs
// weigh in 8 bits), and means of 2x2 of its samples.
const SHRINK = `
uniform float side;
out vec4 small;

vec3 sampleAt(vec2 place) {
  ivec2 last = frameSize() - 1;
  vec2 at = max(place * vec2(last + 1) - 0.5, 0.0);
  ivec2 low = min(ivec2(at), last), high = min(low + 1, last);
  vec2 part = at - floor(at);
  vec3 top = mix(pickAt(low), pickAt(ivec2(high.x, low.y)), part.x);
  vec3 bottom = mix(pickAt(ivec2(low.x, high.y)), pickAt(high), part.x);
  return mix(top, bottom, part.y);
}

void main() {
  vec2 first = 2.0 * floor(gl_FragCoord.xy) + 0.5;
  float step = 0.5 / side;
  vec3 sum = sampleAt(first * step) + sampleAt((first + vec2(1.0, 0.0)) * step)
    + sampleAt((first + vec2(0.0, 1.0)) * step) + sampleAt((first + 1.0) * step);
  small = vec4(0.25 * sum, 1.0);
}`;

// The frame as RGB, its top in row 0.
const COPY = `
out vec4 copied;
void main() {
  copied = vec4(pickAt(ivec2(gl_FragCoord.xy)), 1.0);
}`;

const PLAIN = `
in vec2 place;
out vec4 shown;
void main() {
  shown = vec4(pick(place), 1.0);
}`;

// A quad between the centres of four cells of the maps, an instance each; those at the border reach
// beyond it, where the outer maps go on. Bilinear is linear in y at the left and at the right edge,
// which a quad's two triangles interpolate exactly, and then linear in x: the same numbers as
// Python's, without the 8-bit weights and the cost of a texture's filter.
const CELLS = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D maps;
uniform int grid;
out vec4 left0, left1, left2, left3, right0, right1, right2, right3;
out float across;
out vec2 place;

vec4 fetch(int layer, ivec2 cell) {
  return texelFetch(maps, ivec2(cell.x, cell.y + layer * grid), 0);
}

void main() {
  ivec2 corner = ivec2(gl_VertexID & 1, gl_VertexID >> 1);
  ivec2 low = ivec2(gl_InstanceID % (grid + 1), gl_InstanceID / (grid + 1)) - 1;
  int row = clamp(low.y + corner.y, 0, grid - 1);
  ivec2 first = ivec2(max(low.x, 0), row), last = ivec2(min(low.x + 1, grid - 1), row);
  left0 = fetch(0, first); left1 = fetch(1, first); left2 = fetch(2, first);
  left3 = fetch(3, first);
  right0 = fetch(0, last); right1 = fetch(1, last); right2 = fetch(2, last);
  right3 = fetch(3, last);
  across = float(corner.x);
  place = (vec2(low + corner) + 0.5) / float(grid);
  gl_Position = vec4(2.0 * place.x - 1.0, 1.0 - 2.0 * place.y, 0.0, 1.0);
}`;

// Maps of 15 channels, term by term: red, green, blue, 1, x(1 - x).
const MAPPED = `
uniform float own;
uniform float strength;
in vec4 left0, left1, left2, left3, right0, right1, right2, right3;
in float across;
in vec2 place;
out vec4 shown;
void main() {
  vec3 colour = pick(place);
  vec4 a = mix(left0, right0, across), b = mix(left1, right1, across);
  vec4 c = mix(left2, right2, across), d = mix(left3, right3, across);
  vec3 change = a.rgb * colour.r + vec3(a.a, b.rg) * colour.g + vec3(b.ba, c.r) * colour.b
    + c.gba + d.rgb * (colour - colour * colour);
  vec3 mapped = clamp(colour + change, 0.0, 1.0);
  shown = vec4(colour + own * strength * (mapped - colour), 1.0);
}`;

const WHOLE = `
uniform sampler2D enhanced;
uniform float strength;
in vec2 place;
out vec4 shown;
void main() {
  shown = vec4(mix(pick(place), texture(enhanced, place).rgb, strength), 1.0);
}`;

const STEPS = {
  SHRINK: [COVER, SHRINK], COPY: [COVER, COPY], PLAIN: [COVER, PLAIN],
  MAPPED: [CELLS, MAPPED], WHOLE: [COVER, WHOLE],
};

// Return the vertex and the fragment shader of a step, for a form of frames.
export function write(step, form) {
  const [vertex, fragment] = STEPS[step];
  return [vertex, HEAD + PICKS[form] + fragment];
}
