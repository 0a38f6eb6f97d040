/** The roles that may read metrics, and so may see who watches; texts.test.ts compares them with the gateway's. */
export const seers: readonly string[] = ["admin", "operator"];

export const maySee = (me: { role: string }): boolean => seers.includes(me.role);
