from __future__ import annotations

from workbench.web.login_pages import login_page, sessions_page
from workbench.web.sessions import Session

SCRIPT = '"><script>alert(1)</script>'


def test_what_comes_from_outside_is_text() -> None:
    session = Session("0" * 64, 0.0, 0.0, SCRIPT, SCRIPT, "")
    pages = login_page("/login", f"/{SCRIPT}", SCRIPT) + sessions_page([session], "", "", "/sessions", "/logout")
    assert "<script" not in pages
    assert "&lt;script&gt;" in pages


def test_the_own_session_has_no_button() -> None:
    sessions = [Session(name * 64, 0.0, 0.0, "203.0.113.9", "Firefox", "") for name in "01"]
    page = sessions_page(sessions, "0" * 64, "/lab", "/lab/sessions", "/lab/logout")
    assert page.count("this one") == page.count(">End<") == 1
    assert f'value="{"1" * 64}"' in page and f'value="{"0" * 64}"' not in page
    assert 'action="/lab/sessions"' in page and 'action="/lab/logout"' in page and 'href="/lab/"' in page
