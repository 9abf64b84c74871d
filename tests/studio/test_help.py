"""Each page says what it is; each word that it uses is explained; a mistake leads to its word."""

from __future__ import annotations

import re

import pytest

from studio.app import PAGES
from studio.components.about import TOLD, about_html, explained
from studio.components.problem import as_html
from studio.glossary import BY_NAME, TERMS
from studio.help import ABOUT
from studio.pages.glossary import glossary_html


@pytest.mark.parametrize("page", [page for page in PAGES if page.path != "glossary"], ids=lambda p: p.title)
def test_each_page_says_what_it_is_and_why(page: object) -> None:
    about = ABOUT[getattr(page, "path", "")]
    html = about_html(getattr(page, "path", ""))
    assert about.what in html
    assert about.why in html
    assert 'href="/' not in html


def test_the_words_that_the_help_uses_are_in_the_glossary() -> None:
    places = set(re.findall(r'id="([^"]+)"', glossary_html()))
    for path in ABOUT:
        assert set(re.findall(r"glossary#([\w-]+)", about_html(path))) <= places
    assert {BY_NAME[name].anchor for name, _ in TOLD} <= places


def test_the_glossary_goes_by_the_alphabet_and_has_each_word_once() -> None:
    names = [term.name.lower() for term in TERMS]
    assert names == sorted(names)
    assert len({term.anchor for term in TERMS}) == len(TERMS)


def test_a_mistake_leads_to_what_it_is_about() -> None:
    html = as_html("the gate is <closed>: give a reason")
    assert "&lt;closed&gt;" in html
    assert 'href="glossary#gate"' in html
    assert explained("no such folder") == ""
    assert explained("the judge is the reward itself") == explained("a Judge")
