import { describe, expect, it } from "vitest";
import { deaf, Ear, soundNote } from "./sound";

const browser = ["audio/opus", "audio/PCMU", "audio/PCMA", "audio/CN"].map((mimeType) => ({ mimeType }));

describe("whether a camera can be heard", () => {
  it.each([
    ["PCMA", undefined],
    ["PCMU", undefined],
    ["OPUS", undefined],
    ["AAC", undefined],
    ["G726", "codec"],
    ["", "none"],
    [undefined, "none"],
  ])("%s: %s", (codec, why) => expect(deaf(codec, browser)).toBe(why));
  it("blames the browser that lacks a codec of WebRTC", () => expect(deaf("PCMA", [])).toBe("browser"));
  it("needs Opus for what the gateway makes Opus", () =>
    expect(deaf("AAC", [{ mimeType: "audio/PCMA" }])).toBe("browser"));
  it.each([
    ["sound-transcoded", "sound_transcoded"],
    ["b-frames, sound-transcodes-busy", "sound_transcodes_busy"],
    ["b-frames", undefined],
    ["", undefined],
    [null, undefined],
  ])("reads of %s", (codes, note) => expect(soundNote(codes)).toBe(note));
});

describe("an ear", () => {
  it("starts, hears, and says when nothing comes", () => {
    const ear = new Ear();
    ear.begin(0);
    expect(ear.hear(500, 40)).toBe("starting"); // a total of earlier: not yet a sign
    expect(ear.hear(1000, 40)).toBe("starting");
    expect(ear.hear(1500, 60)).toBe("on");
    expect(ear.hear(4000, 60)).toBe("on");
    expect(ear.hear(4500, 60)).toBe("silent");
    expect(ear.hear(5000, 61)).toBe("on");
  });
  it("gives up waiting after a while", () => {
    const ear = new Ear();
    ear.begin(0);
    expect(ear.hear(3000, 0)).toBe("silent");
  });
});
