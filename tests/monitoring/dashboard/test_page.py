"""The page in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from perflab.monitoring.dashboard.live import Live
from perflab.monitoring.dashboard.server import DashboardServer
from tests.browser import find_programs, running_browser
from tests.monitoring.dashboard.sources import Process, Scripted, busy
from tests.processes import wait_for

HOSTILE = "<img src=x onerror='window.broken=1'><script>window.broken=1</script>"
Open = Callable[..., tuple[Scripted, DashboardServer]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    programs = find_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("chromium and chromedriver are not installed: make browser")
        pytest.skip("chromium and chromedriver are not installed")
    with running_browser(*programs) as browser:
        yield browser


@pytest.fixture
def open_page(browser: Chrome) -> Iterator[Open]:
    """Serve a source, and open its page in a window of this size; afterwards nothing may have been complained of."""
    servers = []

    def open_page(
        made: tuple[Scripted, Live], *, width: int = 1_400, dark: bool = False
    ) -> tuple[Scripted, DashboardServer]:
        source, live = made
        server = DashboardServer(live, port=0, interval=0.1)
        servers.append(server)
        size = {"width": width, "height": 1_000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get_log("browser")
        browser.get(server.url)
        return source, server

    yield open_page
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    browser.get("about:blank")
    for server in servers:
        server.close()
    assert [text for text in complaints if "ERR_CONNECTION" not in text and "ERR_INCOMPLETE" not in text] == []


def text_of(browser: Chrome, place: str) -> str:
    text: str = browser.execute_script("return document.querySelector(arguments[0]).innerText", place)
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")


def press(browser: Chrome, key: str) -> None:
    browser.find_element(By.TAG_NAME, "body").send_keys(key)


def test_what_changes_is_shown_without_a_reload(browser: Chrome, open_page: Open) -> None:
    source, _ = open_page(busy())
    assert "1,234" in text_of(browser, "#queues")
    source.ready["ingest"] = 77
    wait_for(lambda: "77" in text_of(browser, "#queues"))
    source.processes[0].flush(100)
    source.now += 1.0
    wait_for(lambda: "8,000" in text_of(browser, "#tiles"))


def test_names_are_text_and_run_nothing(browser: Chrome, open_page: Open) -> None:
    source = Scripted(HOSTILE)
    source.processes, source.ready = [Process(HOSTILE)], {HOSTILE: 3}
    open_page((source, source.live()))
    wait_for(lambda: HOSTILE in text_of(browser, "#queues"))
    assert HOSTILE in text_of(browser, "#processes")
    assert HOSTILE in text_of(browser, ".label")
    source.error = HOSTILE
    wait_for(lambda: HOSTILE in text_of(browser, "#notice"))
    assert browser.execute_script("return window.broken") is None
    assert browser.execute_script("return document.images.length") == 0


def test_a_failure_and_its_end_are_shown(browser: Chrome, open_page: Open) -> None:
    source, _ = open_page(busy())
    assert text_of(browser, "#notice") == ""
    source.error = "the server is gone"
    wait_for(lambda: "the server is gone" in text_of(browser, "#notice"))
    assert "cannot be read" in text_of(browser, "#status")
    source.error = None
    wait_for(lambda: text_of(browser, "#notice") == "")


def test_a_lost_connection_is_shown_and_found_again(browser: Chrome, open_page: Open) -> None:
    source, server = open_page(busy())
    wait_for(lambda: browser.execute_script("return latest !== null"))
    server.close()
    lost = browser.find_element(By.ID, "lost")
    wait_for(lost.is_displayed)
    source.ready["ingest"] = 77
    with DashboardServer(source.live(), port=server.port, interval=0.1):
        wait_for(lambda: not lost.is_displayed() and "77" in text_of(browser, "#queues"))


def test_keys_do_what_the_buttons_do(browser: Chrome, open_page: Open) -> None:
    source, _ = open_page(busy())
    press(browser, "p")
    assert browser.find_element(By.ID, "pause").get_attribute("aria-pressed") == "true"
    source.ready["ingest"] = 77
    wait_for(lambda: browser.execute_script("return latest.queues.includes('<td>77</td>')"))
    assert "1,234" in text_of(browser, "#queues"), "it arrived, and is not shown"
    press(browser, "p")
    assert "77" in text_of(browser, "#queues")
    press(browser, "3")
    wait_for(lambda: browser.current_url.endswith("?span=8h"))
    assert "8 hours ago" in text_of(browser, "#throughput")
    assert browser.find_element(By.CSS_SELECTOR, "nav a[aria-current]").text == "8 hours"


def background(browser: Chrome) -> int:
    """How light it is, 0 … 255."""
    script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    return int(max(browser.execute_script(script)))


def test_it_is_dark_where_that_is_wished_for_and_the_choice_stays(browser: Chrome, open_page: Open) -> None:
    open_page(busy(), dark=True)
    assert background(browser) < 60
    press(browser, "d")
    assert background(browser) > 200
    browser.refresh()
    assert background(browser) > 200, "the choice is kept"
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert background(browser) < 60


@pytest.mark.parametrize("width", [320, 700, 1_400, 3_840])
def test_it_fits_into_any_window(browser: Chrome, open_page: Open, width: int) -> None:
    source, live = busy()
    source.ready["a_queue_with_as_long_a_name_as_there_may_be"] = 100_000
    source.processes.append(Process("a-host-with-a-very-long-name.in-some-data-centre.example.org:123456:abcdef"))
    live.look()
    open_page((source, live), width=width)
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) <= 0


def test_hours_leave_no_more_in_the_page_than_minutes(browser: Chrome, open_page: Open) -> None:
    source, live = busy(400)
    open_page((source, live))
    wait_for(lambda: browser.execute_script("return latest !== null"))
    nodes = "return document.querySelectorAll('*').length"
    before = browser.execute_script(nodes)
    for seconds in [60.0] * (9 * 60) + [1.0] * 20:
        source.now += seconds
        source.processes[0].flush(10)
        source.processes[0].tick(source.now)
        live.look()
    wait_for(lambda: text_of(browser, "#status").split()[-2] == "09:07:00")
    assert browser.execute_script(nodes) == before
    browser.get(browser.current_url.split("?")[0] + "?span=8h")
    assert browser.execute_script(nodes) == before


def test_a_token_opens_it_and_does_not_stay_in_the_address(browser: Chrome) -> None:
    _, live = busy()
    with DashboardServer(live, "0.0.0.0", 0, token="not-to-be-guessed", interval=0.1) as server:
        browser.get(f"http://127.0.0.1:{server.port}/")
        assert "token" in text_of(browser, "body")
        browser.get(server.url.replace("0.0.0.0", "127.0.0.1"))
        assert browser.current_url == f"http://127.0.0.1:{server.port}/"
        wait_for(lambda: browser.execute_script("return latest !== null"))
        browser.delete_all_cookies()
        browser.get("about:blank")
