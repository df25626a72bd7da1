/** Puts the cursor into the field with this path, or into the nearest one above it. */
export function focusField(path: string): void {
  for (let at = path; at !== ''; at = at.includes('.') ? at.slice(0, at.lastIndexOf('.')) : '') {
    const block = document.querySelector(`[data-field="${CSS.escape(at)}"]`);
    if (!block) continue;
    block.scrollIntoView({ block: 'center' });
    block
      .querySelector<HTMLElement>('input:not([type="hidden"]):not(:disabled), textarea:not(:disabled), button:not(:disabled)')
      ?.focus({ preventScroll: true });
    return;
  }
}
