/**
 * Padding around values (PS3.5 §6.2): blanks after text, NUL after UIDs, and either by mistake. A loop and not a
 * regular expression, because `/[\0 ]+$/` takes quadratic time on a long hostile value.
 */

/** The text without blanks and NULs at either end. */
export function trimPadding(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isPadding(text.charCodeAt(start))) start += 1;
  while (end > start && isPadding(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isPadding(code: number): boolean {
  return code === 0x20 || code === 0x00;
}
