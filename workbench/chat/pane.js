// Follow the theme of the page around the frame: its menu changes it without telling the server.
() => {
  // A conversation that gets less room, as by the marks below it, still shows its newest answer.
  const smaller = new ResizeObserver((changes) => changes.forEach(({target}) => (target.scrollTop = target.scrollHeight)));
  const watch = () => document.querySelectorAll("#panes .bubble-wrap").forEach((conversation) => smaller.observe(conversation));
  watch();
  new MutationObserver(watch).observe(document.querySelector("#panes") ?? document.body, {childList: true, subtree: true});
  const page = window.parent === window ? null : window.parent.document.querySelector("[data-testid=stApp]");
  if (!page) return;
  const follow = () => document.body.classList.toggle("dark", getComputedStyle(page).colorScheme === "dark");
  follow();
  new MutationObserver(follow).observe(page, {attributes: true, attributeFilter: ["class", "style"]});
}
