"""Languages by script and common words; what is too short to say; what is no language."""

from __future__ import annotations

import polars as pl
import pytest

from builders.schema import TRACES
from curation.engine.marking import mark_frame
from curation.trust.language import WORDS, Language


def marks(text: str | None, **settings) -> dict:
    frame = pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES)
    row = mark_frame(frame, Language(**settings)).drop("trace_id").row(0, named=True)
    return {name.removeprefix("language."): value for name, value in row.items()}


SAID = {
    "en": "First, find how many eggs there are in each of the four boxes, and then add them.",
    "de": "Der Hund hat drei Äpfel und die Katze hat zwei. Also sind es insgesamt fünf Äpfel.",
    "fr": "Le chat a trois pommes et le chien en a deux, donc ils ont cinq pommes dans le panier.",
    "es": "El perro tiene tres manzanas y el gato tiene dos. Entonces son cinco en la cesta.",
    "pt": "A Pam tem cinco maçãs e come duas. Então ela não tem mais do que três maçãs na cesta.",
    "it": "Il gatto ha tre mele e il cane ne ha due, quindi nel cesto sono cinque, non di più.",
    "nl": "De hond heeft drie appels en de kat heeft er twee, dus ze hebben er samen vijf.",
    "sv": "Hunden har tre äpplen och katten har två, så det är fem äpplen i korgen och inte fler.",
    "pl": "Pies ma trzy jabłka, a kot ma dwa, więc jest ich pięć, ale nie są one dla psa.",
    "tr": "Bir kutuda beş elma var ve bu elma için daha çok yer var, toplam on elma eder.",
    "vi": "Mỗi hộp có sáu quả trứng và có bốn hộp, vậy số trứng của các hộp là hai mươi tư.",
    "ru": "В каждой коробке по шесть яиц, и это значит, что всего их двадцать четыре.",
    "uk": "У кожній коробці по шість яєць, і це означає, що їх двадцять чотири, але не більше.",
    "ar": "في كل صندوق ست بيضات و هذا يعني أن في الصناديق التي على الطاولة أربع وعشرون",
    "fa": "در هر جعبه شش تخم مرغ است و این یعنی که از چهار جعبه بیست و چهار می شود",
    "zh": "小明有五个苹果，他给了小红两个，所以剩下三个。",
    "ja": "太郎はりんごを五つ持っています。二つ食べたので、三つ残ります。",
    "ko": "상자마다 달걀이 여섯 개 있으므로 모두 스물네 개입니다.",
    "el": "Κάθε κουτί έχει έξι αυγά, άρα όλα μαζί είναι είκοσι τέσσερα.",
    "hi": "हर डिब्बे में छह अंडे हैं, इसलिए कुल चौबीस अंडे हैं।",
    "he": "בכל קופסה יש שש ביצים ולכן יש עשרים וארבע ביצים.",
}


@pytest.mark.parametrize("language", SAID)
def test_a_language_is_known_by_its_script_or_words(language):
    found = marks(SAID[language])
    assert (found["language"], found["wrong"], found["gibberish"]) == (language, language != "en", False)


@pytest.mark.parametrize("language", ["de", "zh", "ja", "ru"])
def test_another_language_may_be_expected(language):
    assert [marks(SAID[said], expected=language)["wrong"] for said in (language, "en")] == [False, True]


@pytest.mark.parametrize("text", ["The answer is 4", "2 + 2 = 4 #### 4", "x_1 + y_2 = s, a e o i y, W = V.", "kg m cm"])
def test_too_short_to_say(text):
    found = marks(text)
    assert (found["language"], found["wrong"], found["gibberish"]) == (None, None, False)


def test_nothing_is_said_of_nothing():
    assert set(marks(" ").values()) == {None}


def test_a_sentence_in_another_script_is_foreign():
    found = marks(f"{SAID['en']} 然后我们计算总数是二十四。 The answer is 24.")
    assert (found["language"], found["wrong"]) == ("en", True)
    assert found["foreign"] == pytest.approx(13 / (13 + 63 + 11), abs=0.02)


def test_greek_is_mathematics():
    found = marks("The sum of α and β is how we find the angle γ that they have in each of them.")
    assert (found["foreign"], found["wrong"]) == (0.0, False)


@pytest.mark.parametrize(
    "text",
    [
        SAID["en"] + " Thenthefourboxesareaddedupandthatisit.",
        "Tofindthenumber ofeggsinallofthe fourboxesweaddthem uptogetherandthen wesubtracttheones hebrokewhenhefell.",
        "xkcdq wrtpl zzkpq the mmnbv qwrtp plkjh",
        "#$%^&*()@!~ #$%^&*()@!~ #$%^&*()@!~ #$%^&*()@!~ ##$$",
    ],
)
def test_what_is_no_language_is_gibberish(text):
    assert marks(text)["gibberish"]


@pytest.mark.parametrize(
    "text", [r"\frac{1}{2} + \sqrt{3} \times 4 = x^2 + y^2 \approx 12.5", "| a | b |\n|---|---|\n| 1 | 2 |"]
)
def test_formulas_and_tables_are_no_gibberish(text):
    assert not marks(text)["gibberish"]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="'xx' is no language that is told apart; there is: ar, bg"):
        Language(expected="xx")


def test_no_language_has_a_word_twice():
    assert all(len(said.split()) == len(set(said.split())) for said in WORDS.values())


def test_spans_point_at_the_foreign_letters():
    text = f"Ä. {SAID['en']} 然后我们，计算 is it."
    traces = pl.DataFrame([{"trace_id": "0", "response": text}], schema=TRACES)
    [[span]] = Language().spans(Language().mark(traces.lazy()).collect())
    assert (span.mark, text[span.start : span.end]) == ("wrong", "然后我们，计算")
