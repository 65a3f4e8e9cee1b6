r"""Which language a trace is written in, and whether it is one at all.

The script settles most languages, and is counted exactly; those that share one are told apart by their commonest words.
That takes a sentence or two: where there are too few letters, or two languages fit as well, the language is null.
Not here: a trained language identifier, and languages with less than a short list of words below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from curation.engine.gates import holds, judged, spans_of, where
from curation.text.steps import trace_text

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

    from curation.passes import Span

WORDS: Final[dict[str, str]] = {
    "en": "the of and to is in that it for with are was be this on as by from we he she you they so has have how there "
    "which each then first total number find need can if not all more than answer",
    "de": "der die das und ist nicht ein eine mit von zu den dem des auf für sich er sie es wir sind wird auch als aus "
    "bei nach wie oder am insgesamt also antwort lautet",
    "fr": "le la les des et est une un du dans que qui pour pas sur avec par au ce il elle nous vous sont plus donc "
    "ont aux réponse cette",
    "es": "el la los las de y es en que un una por con para se del al no lo su más como pero son está hay tiene "
    "entonces respuesta cada",
    "pt": "o os as de e é em que um uma por com para se do da dos das no na não mais como mas são está tem então ao "
    "resposta cada",
    "it": "il lo gli i di e è in che un una per con si del della dei delle al non più come ma sono ha quindi questo "
    "risposta ogni nel",
    "nl": "de het een en is van in dat op te met voor niet zijn er aan ook als bij dus wordt hij ze wij heeft deze "
    "naar antwoord dan maar heb",
    "sv": "och är att det som en ett på av för med den inte till har de om vi han hon kan så men från blir "
    "varje svaret",
    "da": "og er at det som en et på af for med den ikke til har de om vi han hun kan så men fra bliver hver svaret",
    "no": "og er å det som en et på av for med den ikke til har de om vi han hun kan så men fra blir hver svaret",
    "fi": "ja on ei se että hän oli mutta kun niin kuin myös ovat joka mitä tai vain jos sen siitä yhteensä vastaus",
    "pl": "i w nie na się jest z do to że jak ale o od za po co są dla ma przez tylko więc odpowiedź oraz który",
    "cs": "a je se na v že to s z do ne jak ale o pro jsou by si po co nebo tak od odpověď která podle",
    "ro": "și de la în este nu un o cu pe care din mai că sunt pentru ce se al dar sau ca deci fiecare răspunsul",
    "hu": "a az és nem egy hogy van is ez de volt meg csak ha vagy már még mint akkor tehát válasz kell",
    "tr": "ve bir bu için ile da de ne var çok daha olarak olan gibi kadar ama o sonra toplam her cevap eder",
    "id": "dan yang di ini itu dari untuk dengan adalah tidak pada ke akan atau jumlah setiap jadi dalam ada "
    "jawaban juga",
    "vi": "và là của có một không được cho trong các với này để người những đã thì vậy số mỗi câu trả lời",
    "ca": "el la els les de i és en que un una per amb no del al més com però són té llavors resposta cada va",
    "hr": "i je u na se da su za od ne što kao ali s iz bi to koji ili kako odgovor svaki ukupno",
    "ru": "и в не на что он с как это по но из у за от так же она все его для или если было ответ каждый",
    "uk": "і в не на що він з як це по але із у за від так вона все його для або якщо було відповідь кожен та є",
    "bg": "и в не на че той с как това по но от у за да се са е или ако беше отговор всеки ще",
    "ar": "في من على أن إلى هذا التي الذي كان عن مع هو هي ما لا إذا كل ثم قد الإجابة هذه",
    "fa": "و در به از که این را با است برای آن یک خود تا بر هم نیز می شود پاسخ هر",
    "ur": "اور کے میں کی ہے سے کا کو یہ نے پر ہیں کہ تو ایک جواب ہر کر",
}
"""The commonest words of languages that share a script with others, by ISO 639-1 code."""
SCRIPTS: Final[dict[str, str]] = {
    "Latin": r"\p{Latin}",
    "Greek": r"\p{Greek}",
    "Cyrillic": r"\p{Cyrillic}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Telugu": r"\p{Telugu}",
    "Thai": r"\p{Thai}",
    "Han": r"\p{Han}",
    "Kana": r"[\p{Hiragana}\p{Katakana}]",
    "Hangul": r"\p{Hangul}",
    "Georgian": r"\p{Georgian}",
    "Armenian": r"\p{Armenian}",
}
ONLY: Final[dict[str, str]] = {
    "Greek": "el",
    "Hebrew": "he",
    "Devanagari": "hi",
    "Bengali": "bn",
    "Tamil": "ta",
    "Telugu": "te",
    "Thai": "th",
    "Han": "zh",
    "Kana": "ja",
    "Hangul": "ko",
    "Georgian": "ka",
    "Armenian": "hy",
}
"""Scripts that stand for one language here. Marathi and Nepali come out as Hindi."""
KANA_SHARE: Final = 0.1
"""Japanese: this share of its Chinese characters and kana are kana."""
OWN: Final[dict[str, tuple[str, ...]]] = {
    **{language: (script,) for script, language in ONLY.items()},
    **dict.fromkeys(("ru", "uk", "bg"), ("Cyrillic",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("Arabic",)),
    "ja": ("Han", "Kana"),
}
"""Scripts that a language is written in; those not named in Latin. Latin and Greek letters are at home in all maths."""
AT_HOME: Final = ("Latin", "Greek")

FEWEST_WORDS: Final = 6
"""Words of letters that a text must have, or it is too short to say; so many letters, in a script without spaces."""
FEWEST_KNOWN: Final = 3
"""So many different ones of its words, and a share of `KNOWN_SHARE`, must be common words of the language."""
KNOWN_SHARE: Final = 0.1
COGNATES: Final = "an as by for he in is of on so to was we"
"""English words that are words elsewhere too, and no proof of English."""
CLEAR: Final = 75
"""With 3 words that prove the expected language, and one to so many bytes, a text needs no second look."""
RUN: Final = 26
"""Letters in a row that are no word: those of English have 20 at most. Traces of arXiv 2502.18001 have such runs."""
LONG_RUNS: Final = rf"[A-Za-z]{{{RUN},}}"
NO_VOWEL: Final = r"(?i)(?-u:\b)[b-df-hj-np-tv-xz]{4,}(?-u:\b)"
"""Four letters or more without a vowel; shorter ones are units and abbreviations."""
_FOREIGN: Final = r"[^\x00-\x7F\p{Latin}\p{Greek}\P{L}]"


def _is_letter(word: str) -> bool:
    """`a` and `y` are variables before they are words."""
    return len(word) == 1 and word.isascii()


@dataclass(frozen=True, slots=True)
class Language:
    """Marks traces with their language, and with whether that is the expected one.

    language   String   ISO 639-1 code; null: too short, unknown, or two fit as well
    foreign    Float32  share of the letters that are of another script than the expected language's, Latin and Greek
                        apart; null without letters
    wrong      Boolean  another language than expected, or more than `foreign` of foreign letters; null: unknown
    gibberish  Boolean  no language: 26 Latin letters in a row, lost spaces, words without vowels, or nearly no letter
                        and digit at all; null where nothing was said
    """

    expected: str = "en"
    """ISO 639-1 code of the language that traces should be in."""
    foreign: float = 0.05
    """Share of foreign letters above which a trace is in the wrong language, whatever the rest is."""

    name: ClassVar[str] = "language"  # written into shards: never reuse
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("response", "reasoning", "answer")
    marks: ClassVar[dict[str, PolarsDataType]] = {
        "language": pl.String(),
        "foreign": pl.Float32(),
        "wrong": pl.Boolean(),
        "gibberish": pl.Boolean(),
    }
    source: ClassVar[str] = (
        "our own: scripts by Unicode, then lists of common words; 26 letters: arXiv 2502.18001's data"
    )
    cost: ClassVar[str] = "200,000 rows/s of 300 characters on one core where most are in the expected language"

    def __post_init__(self) -> None:
        known = sorted({*WORDS, *ONLY.values()})
        if self.expected not in known:
            raise ValueError(f"{self.expected!r} is no language that is told apart; there is: {', '.join(known)}")

    def mark(self, traces: pl.LazyFrame) -> pl.LazyFrame:
        """Add `language.language` and the rest."""
        return judged(traces, self, self._judge)

    def spans(self, traces: pl.DataFrame) -> list[list[Span]]:
        """Foreign letters and runs of letters of a few traces; a language as a whole has no place."""
        places = {
            "wrong": {"another script": rf"{_FOREIGN}(?:[\s\p{{P}}]*{_FOREIGN})*"},
            "gibberish": {"no word": f"{LONG_RUNS}|{NO_VOWEL}"},
        }
        return spans_of(traces, trace_text(), places, f"{self.name}.")

    def _judge(self, traces: pl.DataFrame) -> pl.DataFrame:
        spoken = pl.when(trace_text().str.contains(r"\S")).then(trace_text())
        rows = traces.select(spoken.alias("text")).with_row_index("row")
        text = pl.col("text")
        hits = text.str.count_matches(_common(self.expected))
        seen = rows.with_columns(
            ((hits >= FEWEST_KNOWN) & (hits * CLEAR >= text.str.len_bytes())).alias("plain"),
            text.str.contains(f"{_FOREIGN}|{LONG_RUNS}").alias("unusual"),
        )
        seen = seen.with_columns(
            where(seen["unusual"], seen["text"], holds(LONG_RUNS)).alias("gibberish"),
            pl.col("plain") & ~where(seen["unusual"], seen["text"], holds(_FOREIGN)),
        )
        looked_at = _look(seen.filter(pl.col("plain").not_()).select("row", "text"), OWN.get(self.expected, ("Latin",)))
        marks = seen.join(looked_at, on="row", how="left", maintain_order="left").with_columns(
            pl.when("plain").then(pl.lit(self.expected)).otherwise("language").alias("language"),
            pl.when("plain").then(0.0).otherwise("foreign").alias("foreign"),
            pl.col("gibberish") | pl.col("odd").fill_null(False),
        )
        other = pl.col("language") != self.expected
        return marks.with_columns(pl.when(pl.col("foreign") > self.foreign).then(True).otherwise(other).alias("wrong"))


def _common(language: str) -> str:
    """Pattern: the common words of a language in ASCII that no other language here has; matches nothing without one."""
    others = " ".join((COGNATES, *(words for code, words in WORDS.items() if code != language))).split()
    own = sorted({word for word in WORDS.get(language, "").split() if word.isascii() and len(word) > 1} - {*others})
    return rf"(?i)(?-u:\b)(?:{'|'.join(own)})(?-u:\b)" if own else r"[^\x00-\x{10FFFF}]"


def _look(rows: pl.DataFrame, home: tuple[str, ...]) -> pl.DataFrame:
    """What there is to say about texts that are not plainly in the expected language.

    Args:
        rows: row, text; none is null where there is something to say.
        home: scripts of the expected language.

    Returns:
        row, language (String), foreign (Float64), odd (Boolean: gibberish), in the same order.
    """
    rows = _count_letters(rows.drop_nulls("text"))
    letters = pl.sum_horizontal(*SCRIPTS)
    away = pl.sum_horizontal(*(script for script in SCRIPTS if script not in (*home, *AT_HOME)))
    asian = pl.col("Han") + pl.col("Kana")
    most = pl.concat_list(*SCRIPTS).list.arg_max()
    script = most.replace_strict(dict(enumerate(SCRIPTS)), return_dtype=pl.String)
    rows = rows.with_columns(
        script=pl.when(letters >= FEWEST_WORDS).then(
            pl.when((asian * 2 > letters) & (pl.col("Kana") >= KANA_SHARE * asian))
            .then(pl.lit("Kana"))
            .otherwise(script)
        ),
        foreign=pl.when(letters > 0).then(away / letters),
        odd=_odd(rows, letters),
    )
    found = rows.join(_by_words(rows), on="row", how="left", maintain_order="left")
    alone = pl.col("script").replace_strict(ONLY, default=None, return_dtype=pl.String)
    return found.select("row", pl.coalesce(alone, "language").alias("language"), "foreign", "odd")


def _count_letters(rows: pl.DataFrame) -> pl.DataFrame:
    """Add a column for each script: how many of its letters a text has."""
    text = pl.col("text")
    latin = rows.with_columns(text.str.count_matches(SCRIPTS["Latin"]).cast(pl.Int64).alias("Latin"))
    others = {script: letter for script, letter in SCRIPTS.items() if script != "Latin"}
    mixed = rows.filter(text.str.contains(rf"{_FOREIGN}|\p{{Greek}}"))
    counted = mixed.select("row", *(text.str.count_matches(p).cast(pl.Int64).alias(s) for s, p in others.items()))
    return latin.join(counted, on="row", how="left", maintain_order="left").with_columns(
        pl.col(list(others)).fill_null(0)
    )


def _odd(rows: pl.DataFrame, letters: pl.Expr) -> pl.Series:
    """Boolean: lost spaces, words without vowels, or next to no letters and digits."""
    text = pl.col("text")
    words = text.str.count_matches(r"\p{Latin}+")
    lost = (pl.col("Latin") >= 100) & (pl.col("Latin") > 12 * words)
    mute = text.str.count_matches(NO_VOWEL)
    few = letters * 4 < text.str.len_chars()
    looked = rows.select(
        (lost | ((mute >= 3) & (mute * 5 > words) & (pl.col("Latin") * 2 > letters))).alias("odd"), few.alias("few")
    )
    return looked["odd"] | where(looked["few"], rows["text"], _soup)


def _soup(texts: pl.Series) -> pl.Series:
    visible = texts.str.count_matches(r"\S")
    return (visible >= 40) & (texts.str.count_matches(r"[\p{L}\p{N}]") * 4 < visible)


def _by_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Row and language of the texts that are in a language of `WORDS`."""
    shared = rows.filter(pl.col("script").is_in(["Latin", "Cyrillic", "Arabic"]))
    words = (
        shared.select("row", word=pl.col("text").str.to_lowercase().str.extract_all(r"\p{L}[\p{L}\p{M}]*"))
        .with_columns(words=pl.col("word").list.len())
        .filter(pl.col("words") >= FEWEST_WORDS)
        .explode("word")
    )
    table = pl.DataFrame(
        [(word, language) for language, said in WORDS.items() for word in set(said.split()) if not _is_letter(word)],
        schema={"word": pl.String, "language": pl.String},
        orient="row",
    )
    hits = (
        words.join(table, on="word")
        .group_by("row", "language")
        .agg(pl.len().alias("hits"), pl.col("word").n_unique().alias("kinds"), pl.col("words").first())
    )
    best = pl.col("hits") == pl.col("hits").max().over("row")
    sure = (pl.col("kinds") >= FEWEST_KNOWN) & (pl.col("hits") >= KNOWN_SHARE * pl.col("words"))
    alone = hits.filter(best).filter(pl.len().over("row") == 1).filter(sure)
    return alone.select("row", "language")
