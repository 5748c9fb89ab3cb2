// Scrolls to the message of a field and focuses the widget before it, once for each request.
let answered = 0;

const WIDGETS = 'input:not([type=file]), textarea, [role=slider], [role=combobox], [role=radio], button[kind]';
const ATTEMPTS = 30, PAUSE = 100; // milliseconds; what stands above may still be drawn

function show(target, attempts) {
  const message = document.querySelector(`.st-key-${CSS.escape(target)}`);
  if (!message) {
    if (attempts > 0) setTimeout(() => show(target, attempts - 1), PAUSE);
    return;
  }
  const before = [...document.querySelectorAll(WIDGETS)].filter(
    (widget) => widget.offsetParent && !message.contains(widget)
      && widget.compareDocumentPosition(message) & Node.DOCUMENT_POSITION_FOLLOWING);
  before.at(-1)?.focus({ preventScroll: true });
  message.scrollIntoView({ block: 'center' });
}

export default function ({ data }) {
  if (!data?.target || data.request <= answered) return;
  answered = data.request;
  show(data.target, ATTEMPTS);
}
