"""The page in a real browser: it renders, sorts, filters, shows, explains itself, and lets nothing in."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NUM_CELLS = 13
NUM_METHODS = 4  # full data has no line of its own in the legend


def texts(page, column):
    """Return the shown text of a column's cells, first line only."""
    rows = page.locator("#table tbody tr:visible")
    return [rows.nth(n).locator("th, td").nth(column).inner_text().split("\n")[0] for n in range(rows.count())]


def methods(page):
    return page.locator("#table tbody tr:visible").evaluate_all("(rows) => rows.map((row) => row.dataset.method)")


def column_of(page, header):
    headers = [text.strip() for text in page.locator("#table thead th").all_inner_texts()]
    return headers.index(header)


def sort_by(page, header):
    page.locator("#table thead button").nth(column_of(page, header)).press("Enter")


def test_it_renders_what_was_run_and_what_is_wrong(look):
    page = look()
    assert page.locator("h1").inner_text() == "Did pruning pay?"
    assert page.locator("#table tbody tr").count() == NUM_CELLS
    assert page.locator(".answer").count() >= 3
    summary = page.locator("#summary").inner_text()
    assert "n = 2 to 3 seeds" in summary
    assert "1 failed" in summary
    problems = page.locator("#problems").inner_text()
    assert "<b>disk & all</b>" in problems
    assert "cut" in problems
    assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px"  # the policy lets the style in


def test_what_a_record_says_cannot_run(look):
    page = look()
    for number in range(NUM_CELLS):
        page.locator("button.more").nth(number).click()
        page.keyboard.press("Escape")
    page.locator("#view").select_option("classes")
    for number in range(page.locator("#mask option").count()):
        page.locator("#mask").select_option(index=number)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert "<script>" in page.locator("#table").inner_text()


def test_the_table_sorts_by_keyboard_and_says_so(look):
    page = look()
    column = column_of(page, "accuracy")
    header = page.locator("#table thead th").nth(column)
    sort_by(page, "accuracy")
    assert header.get_attribute("aria-sort") == "ascending"
    rising = [float(text) for text in texts(page, column)]
    assert rising == sorted(rising)
    sort_by(page, "accuracy")
    assert header.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in texts(page, column)] == rising[::-1]
    sort_by(page, "method")
    assert header.get_attribute("aria-sort") == "none"
    names = methods(page)
    assert names == sorted(names, key=str.lower)


@pytest.mark.parametrize("times", [1, 2], ids=["ascending", "descending"])
def test_what_is_unknown_comes_last(look, times):
    page = look()
    for _ in range(times):
        sort_by(page, "vs random")
    shown = texts(page, column_of(page, "vs random"))
    assert shown[-4:] == [""] * 4
    assert all(shown[:-4])


def test_the_table_filters(look):
    page = look()
    page.locator("#search").fill("tdds 50")
    assert page.locator("#table tbody tr:visible").count() == 1
    assert page.locator("#count").inner_text() == f"1 of {NUM_CELLS} rows"
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function(f"document.getElementById('count').textContent === '{NUM_CELLS} rows'")
    page.locator("[data-facet=method]").select_option("el2n")
    assert methods(page) == ["el2n"] * 3
    page.locator("[data-facet=ratio]").select_option("80 %")
    assert page.locator("#table tbody tr:visible").count() == 1
    page.locator("#filters button[type=reset]").click()
    page.locator("[data-facet=states]").select_option("seeds missing")
    assert methods(page) == ["tdds"]
    page.locator("[data-facet=states]").select_option("none")
    assert page.locator("#table tbody tr:visible").count() == NUM_CELLS - 3  # 80 % warns, tdds there lacks a seed too


def test_curves_show_values_and_methods_can_be_left_out(look):
    page = look()
    marks = page.locator("#chart-ratio .mark")
    assert marks.count() == 12
    assert page.locator("#chart-cost .mark").count() == 13
    assert page.locator("#legend button[aria-pressed]").count() == NUM_METHODS
    page.locator("#legend button", has_text="tdds").click()
    assert marks.count() == 9
    assert page.locator("#legend button", has_text="tdds").get_attribute("aria-pressed") == "false"
    page.locator("#legend button", has_text="all").click()
    page.locator("#chart-ratio svg").focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator("#chart-ratio .tip")
    assert "30 % pruned" in tip.inner_text()
    assert "n = 3, cost" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.inner_text() == ""
    marks.last.hover()
    assert "% [" in tip.inner_text()
    page.locator("#metric").select_option("worst_class_accuracy")
    assert "worst class" in page.locator("#chart-ratio").inner_text()


def test_a_point_opens_its_runs(look):
    page = look()
    page.locator("#chart-cost svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] h2").is_visible()


def test_images_are_shown_with_their_scores(look):
    page = look()
    options = page.locator("#mask option").all_inner_texts()
    page.locator("#mask").select_option(index=next(n for n, text in enumerate(options) if text.startswith("el2n")))
    titles = page.locator("#gallery h3").all_inner_texts()
    assert titles == [
        "Highest scores",
        "Kept with the lowest scores",
        "Pruned with the highest scores",
        "Lowest scores",
    ]
    assert page.locator("#gallery img").count() == 48
    page.wait_for_function("[...document.querySelectorAll('#gallery img')].every((i) => i.complete && i.naturalWidth)")
    alt = page.locator("#gallery img").first.get_attribute("alt")
    assert "class " in alt
    assert "kept" in alt
    assert "score 0." in alt
    scores = page.locator("#gallery .strip").first.locator(".score").all_inner_texts()
    values = [float(text.removeprefix("score ")) for text in scores]
    assert values == sorted(values, reverse=True)
    page.locator("#kept").select_option("0")
    assert page.locator("#gallery .image.kept").count() == 0
    page.locator("#view").select_option("classes")
    assert [text.split(" ")[0] for text in page.locator("#gallery h3").all_inner_texts()] == ["apple", "pear", "plum"]


def test_the_provenance_of_a_cell_is_one_click_away(look):
    page = look(permissions=["clipboard-read", "clipboard-write"])
    page.locator("[data-facet=method]").select_option("tdds")
    button = page.locator("#table tbody tr:visible button.more").first
    button.click()
    dialog = page.locator("dialog[open]")
    said = dialog.inner_text()
    for expected in ("tdds, 30 % pruned", "score=tdds pruning_ratio=0.3", "seeds", "2.15.0", "runs/3_0.3_0", "95 %"):
        assert expected in said
    assert "secret-host" not in page.content()
    dialog.get_by_role("button", name="Copy the command").click()
    page.wait_for_function("document.querySelector('dialog .command button').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "python -m secateur run score=tdds pruning_ratio=0.3"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert button.evaluate("(element) => element === document.activeElement")


def test_the_theme_is_remembered(look):
    page = look(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    page.locator("#theme").click()
    assert "dark" in page.locator("#theme").get_attribute("aria-label")
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark
    page.locator("#theme").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(look, axe, scheme):
    page = look(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    serious(axe.run(page))
    page.locator("#view").select_option("classes")
    page.locator("button.more").nth(5).click()
    serious(axe.run(page))


def serious(results):
    found = [one for one in results.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


@pytest.mark.parametrize("width", [375, 768], ids=str)
def test_narrow_screens_scroll_tables_not_the_page(look, width):
    page = look(width=width, height=800)
    page.locator("#view").select_option("classes")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
    box = page.locator("#results .scroll")
    assert box.evaluate("(box) => box.scrollWidth >= box.clientWidth")
    page.locator("button.more").nth(5).click()
    assert page.evaluate(overflow) == 0
    assert page.locator("dialog").evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") == 0


RIGHT_EDGE = """(header) => header.getBoundingClientRect().right
    - header.closest('.scroll').getBoundingClientRect().right"""


@pytest.mark.parametrize(("width", "last"), [(1280, "rank"), (375, "accuracy")], ids=["desktop", "phone"])
def test_long_names_leave_room_for_the_numbers(look, width, last):
    page = look(width=width, height=800)
    page.locator("#table tbody th").evaluate_all(
        "(names) => names.forEach((name) => name.prepend('label_mapping + reverse [budget=steps, window=10] '))"
    )
    header = page.locator("#table thead th", has_text=last).first
    assert header.evaluate(RIGHT_EDGE) <= 1
    assert page.locator("#results .scroll").evaluate("(box) => box.scrollLeft") == 0


def test_print_leaves_out_what_paper_cannot_do(look):
    page = look()
    page.emulate_media(media="print")
    assert not page.locator("header.top").is_visible()
    assert not page.locator("#filters").is_visible()
    assert page.locator("#table tbody tr:visible").count() == NUM_CELLS


def test_without_scripts_the_table_and_the_verdicts_remain(look):
    page = look(java_script_enabled=False)
    assert page.locator("#table tbody tr:visible").count() == NUM_CELLS
    assert page.locator(".answer").first.is_visible()
    assert not page.locator("#filters").is_visible()
