"""Latin letters that Unicode does not decompose, and their ASCII spellings."""

from collections.abc import Mapping
from typing import Final

# From the transform Latin-ASCII of Unicode's CLDR (Unicode License v3), the source of PostgreSQL's `unaccent` rules:
# those for small letters that neither case folding nor NFKD changes.
_LETTERS: Final[Mapping[str, str]] = {
    "a": "ᴀᶏⱥ",
    "aa": "ꜳ",
    "ae": "æᴁ",
    "ao": "ꜵ",
    "au": "ꜷ",
    "av": "ꜹꜻ",
    "ay": "ꜽ",
    "b": "ƀƃɓʙᴃᵬᶀ",
    "c": "ƈȼɕᴄꞓ",
    "d": "ðđƌȡɖɗᴅᴆᵭᶁᶑꝱꝺ",
    "db": "ȸ",
    "dz": "ʣʥ",
    "e": "ɇɛᴇᶒᶓⱸ",
    "f": "ƒᵮᶂꜰꝼ",
    "g": "ǥɠɡɢʛᶃꞡ",
    "h": "ħɦɧʜⱨ",
    "hv": "ƕ",
    "i": "ıɨɪᵻᶖ",
    "j": "ȷɉɟʝᴊ",
    "k": "ƙᴋᶄⱪꝁꝃꝅꞣ",
    "l": "łƚȴɫɬɭʟᴌᶅⱡꝇꝉꝲ",
    "ll": "ỻ",
    "ls": "ʪ",
    "lz": "ʫ",
    "m": "ɱᴍᵯᶆꝳ",
    "n": "ŋƞȵɲɳɴᵰᶇꝴꞑꞥ",
    "o": "øᴏⱺꝋꝍ",
    "oe": "œɶ",
    "oi": "ƣ",
    "oo": "ꝏ",
    "p": "ƥᴘᵱᵽᶈꝑꝓꝕ",
    "q": "ĸʠꝗꝙ",
    "qp": "ȹ",
    "r": "ɍɼɽɾʀᵲᵳᶉꝵꝶꞧ",
    "s": "ȿʂᵴᶊẜẝꜱꞩ",
    "t": "ŧƫƭȶʈᴛᵵⱦꝷꞇ",
    "th": "þᵺꝥꝧ",
    "ts": "ʦ",
    "u": "ʉᴜᵾᶙ",
    "ue": "ᵫ",
    "v": "ʋᴠᶌỽⱱⱴꝟ",
    "vy": "ꝡ",
    "w": "ᴡⱳ",
    "x": "ᶍ",
    "y": "ƴɏʏỿ",
    "z": "ƶȥɀʐʑᴢᵶᶎⱬ",
}

ASCII_FORMS: Final[Mapping[str, str]] = {letter: ascii_ for ascii_, letters in _LETTERS.items() for letter in letters}
