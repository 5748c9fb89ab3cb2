// Follow the theme of the page around the frame: its menu changes it without telling the server.
() => {
  const page = window.parent === window ? null : window.parent.document.querySelector("[data-testid=stApp]");
  if (!page) return;
  const follow = () => document.body.classList.toggle("dark", getComputedStyle(page).colorScheme === "dark");
  follow();
  new MutationObserver(follow).observe(page, {attributes: true, attributeFilter: ["class", "style"]});
}
