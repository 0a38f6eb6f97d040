import type { Me } from "../api/types";

/** Whether this user's role may publish; the gateway checks it again. */
export const mayPublish = (me: Me) => me.role === "admin" || me.role === "operator";
