"""The two pages that are there without Streamlit: the login, and the list of sessions."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from urllib.parse import quote

from workbench.web.sessions import Session

STYLE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stillhouse</title>
<style>
  :root { color-scheme: light dark; --accent: light-dark(#0b7a75, #0f857a); --line: light-dark(#8a9699, #7b888c); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 20rem; margin: 18vh auto; padding: 0 1rem;
         background: light-dark(#fff, #101517); color: light-dark(#1d2527, #e4e9e9); }
  body.wide { max-width: 52rem; margin-top: 8vh; }
  h1 { font-size: 1.5rem; font-weight: 650; }
  input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .7rem; border-radius: .4rem; }
  input { margin: .3rem 0 .8rem; border: 1px solid var(--line); background: transparent; color: inherit; }
  button { border: 0; background: var(--accent); color: #fff; cursor: pointer; }
  td button { background: transparent; color: inherit; border: 1px solid var(--line); padding: .2rem .7rem; }
  table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
  th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
  a { color: light-dark(#0b7a75, #5cc8bd); }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
</style>
"""
LOGIN = """<h1>Stillhouse</h1>
<form method="post" action="{action}">
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
  <button>Log in</button>
</form>
<p role="alert">{message}</p>
</html>
"""
SESSIONS = """<body class="wide">
<h1>Sessions</h1>
<p>Browsers that are logged in. A session ends after half a day, when it is ended here, or with another password.</p>
<table>
<tr><th>Browser</th><th>Address</th><th>Since</th><th>Last used</th><th></th></tr>
{rows}</table>
<form method="post" action="{log_out}"><button>Log out</button></form>
<p><a href="{home}">Back to the app</a></p>
</html>
"""
ROW = """<tr><td>{browser}</td><td>{address}</td><td>{begun}</td><td>{seen}</td><td>{button}</td></tr>
"""
END = """<form method="post" action="{action}"><input type="hidden" name="session" value="{name}"><button>End</button></form>"""


def login_page(path: str, wanted: str, message: str) -> str:
    """Return the form for the password.

    Args:
        path: of the login.
        wanted: the page to show afterwards.
        message: why the form is shown again; empty at first.
    """
    return STYLE + LOGIN.format(action=html.escape(f"{path}?next={quote(wanted)}"), message=html.escape(message))


def sessions_page(sessions: Sequence[Session], own: str, base_path: str, path: str, log_out: str) -> str:
    """Return the list of sessions, each with a button that ends it.

    Args:
        sessions: those to list.
        own: name of the session that looks at the page.
        base_path: prefix of the server's addresses.
        path, log_out: of this page, and of logging out.
    """
    rows = "".join(ROW.format(browser=html.escape(each.browser or "unknown"), address=html.escape(each.address), begun=_when(each.begun),
                              seen=_when(each.seen), button="this one" if each.name == own else
                              END.format(action=html.escape(path), name=html.escape(each.name))) for each in sessions)
    return STYLE + SESSIONS.format(rows=rows, log_out=html.escape(log_out), home=html.escape(f"{base_path}/"))


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
