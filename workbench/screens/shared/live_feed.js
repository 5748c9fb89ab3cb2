// One websocket for each run that this page follows. Pieces of the page subscribe to names, each with the version that it shows;
// the server answers with what is newer.

const RECONNECT = [1000, 30000]; // milliseconds; doubled from the first to the second
const TOGETHER = 30; // milliseconds in which subscriptions are gathered into one message
const feeds = new Map();

class Feed {
  constructor(address) {
    this.pieces = new Map(); // name -> { version, receive }
    const { protocol, host } = window.location;
    this.url = `${protocol === "https:" ? "wss:" : "ws:"}//${host}${address}`;
    this.wait = RECONNECT[0];
  }

  // Says what is shown; opens the connection with the first piece, and closes it with the last.
  report() {
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => {
      if (this.pieces.size === 0) {
        this.socket?.close();
        clearTimeout(this.reopening);
      } else if (this.socket?.readyState === WebSocket.OPEN) {
        const shown = Object.fromEntries([...this.pieces].map(([name, piece]) => [name, piece.version]));
        this.socket.send(JSON.stringify(shown));
      } else if (!this.socket) {
        this.open();
      }
    }, TOGETHER);
  }

  open() {
    clearTimeout(this.reopening);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      this.wait = RECONNECT[0];
      this.report();
    };
    socket.onmessage = ({ data }) => {
      for (const [name, news] of Object.entries(JSON.parse(data))) this.pieces.get(name)?.receive(news);
    };
    socket.onclose = () => {
      this.socket = null;
      if (this.pieces.size > 0) {
        this.reopening = setTimeout(() => this.open(), this.wait * (0.5 + Math.random()));
        this.wait = Math.min(2 * this.wait, RECONNECT[1]);
      }
    };
  }
}

// Returns what ends the subscription, unless another one has taken its name.
export function follow({ address, name, version }, receive) {
  if (!feeds.has(address)) feeds.set(address, new Feed(address));
  const feed = feeds.get(address);
  const piece = { version, receive };
  feed.pieces.set(name, piece);
  feed.report();
  return {
    shows(version) {
      piece.version = version;
    },
    report: () => feed.report(),
    end() {
      if (feed.pieces.get(name) === piece) {
        feed.pieces.delete(name);
        feed.report();
      }
    },
  };
}
