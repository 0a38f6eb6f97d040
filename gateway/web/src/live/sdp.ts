/** The few pieces of SDP that an ICE restart over HTTP needs (RFC 8840 fragments, RFC 9725 section 4.3.3). */

const lines = (sdp: string) => sdp.split(/\r?\n/).filter((l) => l !== "");

interface Section {
  head: string[];
  media: string[][];
}

function split(sdp: string): Section {
  const out: Section = { head: [], media: [] };
  for (const line of lines(sdp)) {
    if (line.startsWith("m=")) out.media.push([]);
    (out.media.at(-1) ?? out.head).push(line);
  }
  return out;
}

const ofIce = (line: string) => /^a=(ice-ufrag|ice-pwd|ice-options|candidate|end-of-candidates)(:|$)/.test(line);

/** The ICE part of a local offer, as the body of a PATCH: credentials and candidates of the bundled first section. */
export function fragment(offer: string): string {
  const { head, media } = split(offer);
  const first = media[0] ?? [];
  const take = (prefix: string) => first.find((l) => l.startsWith(prefix)) ?? head.find((l) => l.startsWith(prefix));
  const out = [
    head.find((l) => l.startsWith("a=group:BUNDLE")),
    "a=ice-options:trickle",
    take("a=ice-ufrag:"),
    take("a=ice-pwd:"),
    first[0],
    take("a=mid:"),
    ...first.filter((l) => l.startsWith("a=candidate:")),
  ];
  return `${out.filter((l) => l !== undefined).join("\r\n")}\r\n`;
}

/** The earlier answer with the ICE credentials and candidates of a fragment; undefined if the fragment has none. */
export function withFragment(answer: string, frag: string): string | undefined {
  const all = lines(frag);
  const ufrag = all.find((l) => l.startsWith("a=ice-ufrag:"));
  const pwd = all.find((l) => l.startsWith("a=ice-pwd:"));
  if (!ufrag || !pwd) return undefined;
  const candidates = all.filter((l) => l.startsWith("a=candidate:") || l === "a=end-of-candidates");
  const { head, media } = split(answer);
  const out = head.filter((l) => !ofIce(l));
  media.forEach((section, i) => {
    const [m = "", ...rest] = section.filter((l) => !ofIce(l));
    out.push(m, ...rest.filter((l) => l.startsWith("c=")), ufrag, pwd);
    out.push(...rest.filter((l) => !l.startsWith("c=")));
    if (i === 0) out.push(...candidates);
  });
  return `${out.join("\r\n")}\r\n`;
}

/** An answer whose H.264 begins at that bitrate: Chromium heeds this parameter, others do not know it. */
export function withStart(answer: string, kbps: number): string {
  const h264 = /^a=rtpmap:(\d+) H264\//gim;
  const payloads = new Set([...answer.matchAll(h264)].map((m) => m[1]));
  return answer.replace(/^a=fmtp:(\d+) .*$/gm, (line, payload) =>
    payloads.has(payload) ? `${line};x-google-start-bitrate=${kbps}` : line,
  );
}
