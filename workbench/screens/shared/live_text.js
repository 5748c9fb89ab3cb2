// A line of text that the feed replaces.

export default function ({ data, parentElement }) {
  const element = parentElement.querySelector(".live-text");
  element.textContent = data.text;
  let following;
  let mounted = true;
  import(new URL(data.live.script, window.location.origin).href).then(({ follow }) => {
    if (!mounted) return;
    following = follow(data.live, (news) => {
      element.textContent = news.text;
      following.shows(news.version);
    });
  });
  return () => {
    mounted = false;
    following?.end();
  };
}
