import { type RefObject, useEffect, useState } from "react";

/** Height left for a table's body; the library's virtual table wants it in pixels. */
export function useRest(ref: RefObject<HTMLElement | null>): number {
  const [height, setHeight] = useState(400);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setHeight(Math.max(120, element.clientHeight - 40)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [ref]);
  return height;
}
