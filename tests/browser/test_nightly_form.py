"""As a person: log in, trigger a night with the form, watch it succeed, read the new Home."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.real_stack import AS_OF, RUN_SECONDS, Stack

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DAGS = ("housekeeping", "ingest", "nightly", "retrain_playlists", "retrain_podcasts")
#: A page of Airflow on a machine that is busy with a night.
PAGE_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        message = "chromium is not installed; as root: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


# Chromium is asked for first: without it no stack need be made.
@pytest.fixture
def page(chromium: str, stack: Stack, tmp_path: Path) -> Iterator["Page"]:
    """A page of a new browser, logged in as admin; a picture of its end is kept."""
    from playwright.sync_api import sync_playwright

    from homerec.stack.config import admin_password

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 1200}, locale="en-US")
        page.set_default_timeout(PAGE_MS)
        page.goto(stack.api.url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").first.fill(admin_password(stack.settings))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Welcome").wait_for()
        yield page
        page.screenshot(path=tmp_path / "end.png", full_page=True)


def form(page: "Page", dag: str) -> "Locator":
    """Open the form that triggers a DAG, from the list of DAGs on."""
    page.get_by_role("link", name="Dags", exact=True).first.click()
    page.get_by_role("heading", name=re.compile(r"\d+ Dags")).wait_for()
    page.get_by_role("link", name=dag, exact=True).click()
    page.get_by_text("Latest Dag Version").wait_for()
    page.get_by_role("button", name="Trigger Dag").click()
    found = page.get_by_role("dialog").filter(has_text=f"Trigger Dag - {dag}")
    found.get_by_text("Run Parameters").wait_for()
    return found


def test_a_night_is_triggered_by_the_form_watched_and_read(page: "Page", stack: Stack):
    from playwright.sync_api import expect

    from homerec.release import home
    from homerec.release.reading import example_listener

    listener = example_listener(stack.settings)
    before, runs = home(stack.settings, listener), stack.runs("nightly")
    asked = form(page, "nightly")
    page.locator("#element_as_of").fill(AS_OF.isoformat())
    asked.get_by_role("button", name="Trigger", exact=True).click()
    answer = page.get_by_text("Dag run has been successfully triggered").first
    # A loaded server takes its time to answer.
    expect(answer).to_be_visible(timeout=60_000)
    (run,) = stack.runs("nightly").keys() - runs.keys()

    page.locator(f'a[href$="/dags/nightly/runs/{run}"]').first.click()
    page.get_by_role("heading", name=run).wait_for()
    state = page.get_by_test_id("state-badge").first
    expect(state).to_have_text(re.compile("Success|Failed"), timeout=RUN_SECONDS * 1000)
    expect(state).to_have_text("Success")

    after = home(stack.settings, listener)
    assert stack.xcom("nightly", run, "as_of") == AS_OF.isoformat()
    assert after["release_id"].iloc[0] > before["release_id"].iloc[0]
    assert after["release_id"].iloc[0] == stack.xcom("nightly", run, "announce")
    assert after["shelf"].nunique() >= 5


def test_every_form_can_be_sent_as_it_opens(page: "Page", stack: Stack):
    from playwright.sync_api import expect

    for dag in DAGS:
        asked = form(page, dag)
        expect(asked.get_by_role("button", name="Trigger", exact=True)).to_be_enabled()
        asked.get_by_role("button", name="Close").click()
