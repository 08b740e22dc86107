"""Everything on the page can be read and reached: coinciding markers, long names, large figures, paper."""

from itertools import pairwise

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PLACES = """() => [...document.querySelectorAll('#chart-cost .mark')].map((mark) => {
    const box = mark.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })"""
RENAME = """(name) => {
    const parts = name.split(/(?<=[_.])/);
    for (const where of document.querySelectorAll('.bars tbody th, .answer .rest, #summary p strong'))
        where.replaceChildren(...parts.flatMap((part) => [part, document.createElement('wbr')]));
}"""
LONG = "a_very_long_name_of_an_institute_with.its.own.package_of_data_sets"


def redraw(page, change):
    """Change the data of the curves and draw them anew."""
    page.evaluate(f"() => {{ {change}; document.getElementById('metric').dispatchEvent(new Event('input')); }}")


def test_equal_costs_stand_side_by_side(look):
    page = look()
    places = [(round(x, 1), round(y, 1)) for x, y in page.evaluate(PLACES)]
    assert len(set(places)) == len(places)
    columns = sorted(x for x, _ in places)
    assert all(b - a > 0.5 for a, b in pairwise(columns))


def test_a_tooltip_names_all_in_its_place_and_a_click_opens_the_topmost(look):
    page = look()
    redraw(page, "DATA.curves.forEach((curve) => curve.points.forEach((one) => { one.mean = .9; one.cost = 1; }))")
    marks = page.locator("#chart-cost .mark")
    marks.last.scroll_into_view_if_needed()
    last = marks.last.bounding_box()
    page.mouse.move(last["x"] + last["width"] / 2, last["y"] + last["height"] / 2)
    tip = page.locator("#chart-cost .tip")
    names = tip.locator("b").all_inner_texts()
    assert len(names) > 1
    page.mouse.click(last["x"] + last["width"] / 2, last["y"] + last["height"] / 2)
    assert page.locator("dialog[open] h2").inner_text() == names[0] == "full"


def test_titles_follow_the_measure_and_the_front_is_of_accuracy(look):
    page = look()
    assert page.locator("#chart-ratio h3").inner_text() == "Accuracy against the pruned share"
    assert set("HV") <= set(page.locator("#chart-cost .front").get_attribute("d"))
    page.locator("#metric").select_option("worst_class_accuracy")
    assert page.locator("#chart-ratio h3").inner_text() == "Accuracy of the worst class against the pruned share"
    assert page.locator("#chart-cost h3").inner_text() == "Accuracy of the worst class against the whole cost"
    assert page.locator("#chart-cost .front").count() == 0


def test_a_bar_beyond_the_axis_ends_in_an_arrowhead(look):
    page = look()
    assert page.locator("#chart-ratio .cut").count() == 0
    redraw(page, "DATA.curves[1].points[0].low = -.2")
    assert page.locator("#chart-ratio .cut").count() == 1
    assert "arrowhead" in page.locator("#curves .hint").first.inner_text()


def test_labels_of_ticks_stand_clear_of_the_title(look):
    page = look()
    redraw(page, "DATA.curves.forEach((curve) => curve.points.forEach((one) => { one.mean = .999 + one.mean / 1e4; }))")
    boxes = page.locator("#chart-ratio text").evaluate_all(
        "(texts) => texts.map((one) => [...['class', 'transform', 'text-anchor'].map((name) => one.getAttribute(name)),"
        " one.getBoundingClientRect().left, one.getBoundingClientRect().right])"
    )
    title = next(right for kind, turned, _, _, right in boxes if kind == "title" and turned)
    assert min(left for _, _, anchor, left, _ in boxes if anchor == "end") >= title


def test_lines_have_contrast_on_paper(look):
    page = look(color_scheme="light")
    assert page.evaluate("onPaper('#0072b2')") == "#0072b2"
    for color in ("#e69f00", "#56b4e9"):
        parts = page.evaluate(f"onPaper('{color}')")
        light = [int(parts[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [((part + 0.055) / 1.055) ** 2.4 for part in light]
        assert 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) >= 3


@pytest.mark.parametrize("width", [375, 1280], ids=str)
def test_long_names_neither_widen_the_page_nor_cover_their_neighbors(look, width):
    page = look(width=width, height=800)
    page.evaluate(RENAME, LONG)
    assert page.evaluate(OVERFLOW) == 0
    names = page.locator(".bars tbody th")
    assert names.evaluate_all("(all) => Math.max(...all.map((one) => one.scrollWidth - one.clientWidth))") == 0


def test_the_method_stays_in_sight_on_a_phone(look):
    page = look(width=375, height=800)
    page.locator("#results .scroll").evaluate("(box) => { box.scrollLeft = 200; }")
    edge = page.locator("#results .scroll").evaluate("(box) => box.getBoundingClientRect().left")
    assert abs(page.locator("#table tbody th").nth(1).evaluate("(one) => one.getBoundingClientRect().left") - edge) <= 2


def test_paper_has_headers_and_small_print_that_is_small(look):
    page = look()
    page.emulate_media(media="print")
    size = "(one) => parseFloat(getComputedStyle(one).fontSize)"
    assert page.locator("#table td small").first.evaluate(size) < page.locator("#table td").first.evaluate(size)
    assert page.locator("#table thead button").first.evaluate("(one) => getComputedStyle(one).display") == "contents"
    assert (
        page.locator("#table thead button").first.evaluate("(one) => getComputedStyle(one, '::after').content")
        == "none"
    )
    assert not page.locator("#legend .bulk").first.is_visible()


def test_a_figure_can_be_enlarged_and_back_closes_it(look):
    page = look()
    page.locator("figure .enlarge").first.click()
    image = page.locator("dialog[open] img")
    assert image.evaluate("(one) => one.getBoundingClientRect().width > 1.3 * one.naturalWidth")
    address = page.url
    page.go_back()
    page.wait_for_function("!document.querySelector('dialog').open")
    assert page.url == address


def test_reset_restores_the_order(look):
    page = look()
    rows = "(all) => all.map((row) => row.dataset.cell + row.className)"
    before = page.locator("#table tbody tr").evaluate_all(rows)
    page.locator("#table thead button").nth(2).click()
    assert page.locator("#table tbody tr").evaluate_all(rows) != before
    page.locator("#filters button[type=reset]").click()
    assert page.locator("#table tbody tr").evaluate_all(rows) == before
    assert page.locator("#table thead [aria-sort=ascending]").count() == 0


def test_the_gallery_leaves_out_what_is_empty_and_says_what_a_class_shows(look):
    page = look()
    options = page.locator("#mask option").all_inner_texts()
    page.locator("#mask").select_option(index=next(n for n, text in enumerate(options) if text.startswith("el2n")))
    page.locator("#kept").select_option("0")
    assert "Kept with the lowest scores" not in page.locator("#gallery h3").all_inner_texts()
    page.locator("#view").select_option("classes")
    assert "The 4 highest and the 4 lowest scores of each class." in page.locator("#gallery .hint").first.inner_text()


def test_short_tables_have_no_scroller_of_their_own(look):
    page = look()
    assert page.locator("#results .scroll").evaluate("(box) => box.scrollHeight - box.clientHeight") <= 1


def test_the_command_of_a_sweep_is_called_one(look):
    page = look()
    page.locator("[data-facet=method]").select_option("el2n")
    page.locator("#table tbody tr:visible button.more").first.click()
    assert "sweep of 3 runs" in page.locator("dialog[open]").inner_text()
