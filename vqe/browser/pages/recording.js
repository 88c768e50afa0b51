// What is shown, and the sound that belongs to it -> a file to download.

const KINDS = ["video/webm;codecs=vp9,opus", "video/webm", "video/mp4"];
const SLICE_MS = 1000;

// Begin to record; `stop()` gives the file. The sound's tracks are ended with it if they are ours.
export function startRecording(picture, sound) {
  const stream = new MediaStream([...picture.getVideoTracks(), ...sound]);
  const kind = KINDS.find((name) => MediaRecorder.isTypeSupported(name));
  const recorder = new MediaRecorder(stream, kind ? { mimeType: kind } : {});
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  recorder.start(SLICE_MS);
  const stop = () => new Promise((resolve, reject) => {
    recorder.addEventListener("error", ({ error }) => reject(error));
    recorder.addEventListener("stop", () => {
      for (const track of picture.getTracks()) track.stop();
      resolve(new Blob(parts, { type: recorder.mimeType }));
    });
    recorder.stop();
  });
  return { stop };
}

// Save a file under a name with the time in it.
export function save(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  link.download = `enhanced_${time}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
