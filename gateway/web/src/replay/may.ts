/** The roles that may take footage away, always under a registered reason; the gateway checks it again. */
export const takers: readonly string[] = ["admin", "investigator"];

export const mayDownload = (me: { role: string }): boolean => takers.includes(me.role);
