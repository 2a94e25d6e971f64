/** Text from outside on its way to a terminal or a plain file: it must not move a cursor, or look like another line. */

/** On one line, without control and formatting characters, cut to `maxLength`. */
export function plainText(text: string, maxLength = 100): string {
  const visible = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  return visible.length > maxLength ? `${visible.slice(0, maxLength)}…` : visible;
}
