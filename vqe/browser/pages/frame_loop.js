// A playing video -> one call for each new frame; what is opened is closed.

export class FrameLoop {
  // handle(frame, width, height): a promise; frames that come before it resolves are left out, so
  // that the newest one is always the next. fail(error): it was rejected.
  constructor(video, handle, fail = () => {}) {
    this.video = video;
    this.handle = handle;
    this.fail = fail;
    this.opened = this.closed = 0;
    this.given = 0; // frames that the source has shown
    this.running = this.busy = false;
    this.waiting = null;
  }

  start() {
    this.running = true;
    this.next();
  }

  stop() {
    this.running = false;
    if (this.waiting !== null) this.video.cancelVideoFrameCallback(this.waiting);
    this.waiting = null;
  }

  next() {
    this.waiting = this.video.requestVideoFrameCallback((now, facts) => {
      if (!this.running) return;
      this.next();
      this.given = facts.presentedFrames;
      if (!this.busy) this.take();
    });
  }

  async take() {
    if (this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    this.busy = true;
    const frame = new VideoFrame(this.video);
    this.opened += 1;
    try {
      await this.handle(frame, frame.displayWidth, frame.displayHeight);
    } catch (error) {
      this.fail(error);
    } finally {
      frame.close();
      this.closed += 1;
      this.busy = false;
    }
  }
}
