// Nothing to see: reruns the fragment in which it stands when the feed says that it shows something old.

export default function ({ data, setTriggerValue }) {
  let following;
  let mounted = true;
  import(new URL(data.live.script, window.location.origin).href).then(({ follow }) => {
    if (mounted) following = follow(data.live, (news) => setTriggerValue("changed", news.version));
  });
  return () => {
    mounted = false;
    following?.end();
  };
}
