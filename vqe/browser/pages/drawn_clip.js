// Nothing -> a stream of a drawn call in bad light, for those without a camera.

const WIDTH = 1280, HEIGHT = 720, RATE = 30;
const SCENE_SECONDS = 8;
const BY_CPU = { alpha: false, willReadFrequently: true }; // a GPU would have to hand each frame back
const SCENES = [
  { wall: "#5a4a35", window: "#8d7c5f", shirt: "#2c3c50", skin: "#7a5b44", hair: "#1d1712", x: 0.5 },
  { wall: "#8796a3", window: "#e4edf2", shirt: "#3a2527", skin: "#5d4a42", hair: "#241d14", x: 0.42 },
];

// Begin to draw; `stop()` ends it.
export function startDrawnClip() {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d", BY_CPU);
  const rooms = SCENES.map(drawRoom);
  const begin = performance.now();
  const draw = () => {
    const seconds = (performance.now() - begin) / 1000;
    const scene = Math.floor(seconds / SCENE_SECONDS) % SCENES.length;
    pen.drawImage(rooms[scene], 0, 0);
    drawPerson(pen, SCENES[scene], seconds);
  };
  draw();
  const timer = setInterval(draw, 1000 / RATE);
  const stream = canvas.captureStream(RATE);
  const stop = () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
  };
  return { stream, stop };
}

// Draw what does not move once.
function drawRoom(scene) {
  const room = document.createElement("canvas");
  room.width = WIDTH;
  room.height = HEIGHT;
  const pen = room.getContext("2d", BY_CPU);
  pen.fillStyle = scene.wall;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  pen.fillStyle = scene.window;
  pen.fillRect(90, 80, 300, 340);
  pen.fillStyle = scene.wall;
  pen.fillRect(234, 80, 12, 340);
  pen.fillRect(90, 240, 300, 12);
  pen.fillStyle = "#3b2a1c";
  pen.fillRect(930, 250, 290, 18);
  const books = ["#6b3a2e", "#2f5a3c", "#2e4570", "#7a6a35", "#54345a", "#396268"];
  books.forEach((colour, i) => {
    pen.fillStyle = colour;
    pen.fillRect(950 + 42 * i, 120 + 14 * (i % 3), 32, 130 - 14 * (i % 3));
  });
  const shade = pen.createLinearGradient(0, 0, WIDTH, HEIGHT);
  shade.addColorStop(0, "rgba(0, 0, 0, 0)");
  shade.addColorStop(1, "rgba(0, 0, 0, 0.45)");
  pen.fillStyle = shade;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  return room;
}

function drawPerson(pen, scene, seconds) {
  const x = WIDTH * scene.x + 30 * Math.sin(0.9 * seconds);
  const y = 300 + 8 * Math.sin(2.1 * seconds);
  fillEllipse(pen, scene.shirt, x, 760, 320, 270);
  pen.fillStyle = scene.skin;
  pen.fillRect(x - 55, y + 90, 110, 130);
  fillEllipse(pen, scene.hair, x, y - 22, 148, 178);
  fillEllipse(pen, scene.skin, x, y + 10, 122, 150);
  for (const side of [-1, 1]) {
    fillEllipse(pen, "#b5aa9c", x + 45 * side, y - 8, 19, seconds % 4 < 0.15 ? 2 : 11);
    fillEllipse(pen, "#17120d", x + 45 * side, y - 8, 8, seconds % 4 < 0.15 ? 2 : 9);
  }
  fillEllipse(pen, "#6d2f2a", x, y + 84, 34, 6 + 6 * Math.abs(Math.sin(5 * seconds)));
}

function fillEllipse(pen, colour, x, y, width, height) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
  pen.fill();
}
