const picture = document.querySelector("enhanced-video");
await picture.play(await navigator.mediaDevices.getUserMedia({ video: true }));
export const [track] = picture.captureStream().getVideoTracks(); // such as for peer.addTrack(track)
