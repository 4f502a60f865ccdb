"""Words by which other languages speak to an assistant: of it, of whom it serves, of asking, answering, memory.

Orders in another language are rare among the texts that a reader of English has, and patterns of whole phrases miss
most of them. What stays the same in any wording are the fields that are spoken of: somebody to whom it is said, that
something is asked, that an answer is given, that something is remembered or forgotten, and that nothing else counts.
Words are stems over `disguise.readings` (lower case, without accents); imperatives are those to one person, which a
text for many readers has no use for. Words that English has too are left out.
"""

from __future__ import annotations

import re

from secondme.text.terms import fold

_HELPER, _SERVED, _ASKED, _ANSWER, _MEMORY, _FORGET, _ONLY, _MINE = range(8)

_WORDS: dict[str, tuple[str, ...]] = {
    "de": (
        r"assistent\w*|sprachmodell\w*|ki(?=[-,: ])|kunstlich\w* intelligenz\w*|wer (?:auch immer )?dies\w* (?:text"
        r"|seite"
        r"|datei)",
        r"(?:de[rnms]|dein\w*|die|dies\w*) (?:nutzer|benutzer|besitzer|inhaber|leser)\w*|person,? (?:der|die) du"
        r"|nutzerprofil|des lesers|vom nutzer",
        r"(?:jede|alle|auf|bei|zu|ob)\w* (?:frage|anfrage)\w*|fragen? (?:nach|zu|zum|zur)|gefragt|fragst|fragt",
        r"antworte|antwortest|beantworte|nenne|nennst|nennt|sag|sage|gib|erwahne|auszugeben|empfiehl|lautet die antwort"
        r"|behaupte",
        r"merke? dir|speichere?|bevorzugt|wunscht|mochte|will|notiere?|gedachtnis\w*|trage? .{0,30}\bein"
        r"|uberschreibe?|eintrag|vermerke?|ubernimm",
        r"vergiss|ignoriere|missachte|gilt nicht mehr|nicht mehr gultig|verrate|verschweige|losche",
        r"nur noch|nichts anderes|stets|immer|dauerhaft|ausschliesslich|richtig ist|bestatigt|fur immer|niemals"
        r"|bisherige\w*|fruhere\w*|ab sofort|von nun an",
        r"mein\w* .{1,25} (?:ist|heisst|heißt|lautet)|ich heisse",
    ),
    "fr": (
        r"l'assistant\w*|cher assistant|aux? (?:ia|intelligences artificielles)|modele(?: de langage)? ?:|le modele"
        r"|chatbot|quiconque (?:lit|resume)",
        r"l'utilisat\w+|d'utilisateur|profil utilisateur|du proprietaire|personne que tu|ton (?:maitre|proprietaire)"
        r"|du lecteur",
        r"(?:toute?|chaque|aux?|une) questions?|demande\b|te demande|interroge|on te \w+",
        r"reponds|repondras|repondre|tu diras|dis(?:-lui)?|presente[zr]|donne[zr]?|la (?:bonne )?reponse"
        r"|recommande[rz]?",
        r"ta memoire|en memoire|retiens|souviens-toi|enregistre|memorise|mets a jour|note que|inscris",
        r"oublie|ignore|ne tiens (?:plus|pas) compte|sans mentionner|ne mentionne pas|efface|ne dis pas",
        r"rien d'autre|toujours|pour toujours|desormais|uniquement|confirme|seulement|jamais|bonne reponse",
        r"mon .{1,25} (?:est|s'appelle)|je m'appelle",
    ),
    "es": (
        r"asistente\w*|modelo(?: de lenguaje)? ?:|el modelo|inteligencias? artificial\w*|quien (?:lea|resuma)|la ia\b",
        r"(?:el|del|tu|al) (?:usuario|dueno|propietario)\w*|persona a la que|persona que ayudas|del lector",
        r"(?:toda|cada|cualquier|las) preguntas?|pregunt\w+ (?:por|sobre)|te pregunt\w+|cuando pregunt\w+"
        r"|si .{0,12}pregunt\w+",
        r"responde|contesta|diras|di que|dile|decir que|recomienda|la respuesta|menciona",
        r"tu memoria|en (?:la )?memoria|recuerda|guarda|memoriza|actualiza|anota|registra",
        r"olvida|ignora|no hagas caso|sin mencionar|no menciones|borra|no digas",
        r"nada mas|siempre|para siempre|a partir de ahora|desde ahora|unica\w*|confirmado|solo|nunca|correcta es",
        r"mi .{1,25} (?:es|se llama)|me llamo",
    ),
    "it": (
        r"assistente|modello(?: linguistico)? ?:|il modello|intelligenz\w+ artificial\w+|chi (?:legge|riassume)",
        r"l'utente|dell'utente|il proprietario|del proprietario|persona che (?:aiuti|assisti)|del lettore",
        r"(?:ogni|alle|qualsiasi) domand\w+|ti chied\w+|se .{0,12}chied\w+|quando .{0,12}chied\w+|a chi chiede",
        r"rispondi|di' |dirai|dire che|consiglia|raccomanda|la risposta",
        r"memoria|ricorda|memorizza|salva|aggiorna|annota",
        r"dimentica|ignora|non tenere conto|senza menzionare|cancella|non dire",
        r"nient'altro|sempre|per sempre|d'ora in poi|soltanto|confermato|mai|risposta (?:giusta|corretta)",
        r"(?:il )?mio .{1,25} (?:e|si chiama)|mi chiamo",
    ),
    "pt": (
        r"assistente|ao modelo|modelo de linguagem|inteligencias? artificia\w+|quem (?:ler|resumir)",
        r"(?:o|do|seu) (?:usuario|utilizador|dono|proprietario)|pessoa que (?:voce|ajudas)|do leitor",
        r"(?:toda|cada|qualquer) pergunta|pergunta\w+ (?:pelo|sobre)|perguntarem|quando pergunt\w+"
        r"|se .{0,12}perguntar\w*",
        r"responda|responde|diga|dira|recomende|a resposta",
        r"memoria|lembre|memorize|guarde|salve|atualize|anote|grave",
        r"esqueca|ignore|nao mencione|sem mencionar|apague|nao diga",
        r"mais nada|sempre|para sempre|a partir de agora|somente|apenas|confirmado|nunca|resposta correta",
        r"meu .{1,25} (?:e|se chama)|me chamo",
    ),
    "nl": (
        r"assistent\w*|taalmodel\w*|kunstmatige intelligentie\w*|wie dit (?:leest|samenvat)",
        r"(?:de|je|deze) (?:gebruiker|eigenaar|lezer)\w*|persoon die je",
        r"(?:elke|alle|op|iedere) vra(?:ag|gen)|vraagt|gevraagd",
        r"antwoord|beantwoord|noem|zeg|geef|het antwoord",
        r"geheugen|onthoud|bewaar|sla .{0,20}\bop|werk .{0,20}\bbij|noteer",
        r"vergeet|negeer|vermeld niet|verwijder|niet meer",
        r"niets anders|altijd|voortaan|voorgoed|uitsluitend|bevestigd|nooit|juiste",
        r"mijn .{1,25} (?:is|heet)|ik heet",
    ),
    "ru": (
        r"ассистент\w*|помощник\w*|языков\w+ модел\w+|нейросет\w*|искусственн\w+ интеллект\w*|кто (?:бы ни )?чита\w+",
        r"(?:твое\w+|тво\w+|у|для|профиль) пользовател\w*|пользовател\w*|владел\w+|человек\w*,? которо\w+ ты"
        r"|читател\w+",
        r"(?:любой|каждый|все|на) вопрос\w*|спрос\w+|спрашива\w+|вопрос\w* (?:про|о|об)",
        r"отвечай|ответь|скажи|говори|называй|назови|рекомендуй|ответ\b",
        r"память|памяти|запомни|сохрани|запиши|обнови|внеси|профил\w+",
        r"забудь|игнорируй|не учитывай|не упоминай|не говори|удали|сотри|недействител\w+",
        r"больше ничего|всегда|навсегда|отныне|впредь|только|правильн\w+|подтвержд\w+|никогда|исключительно",
        r"мо[йяе] .{1,25}(?: это| —| -| зовут)|меня зовут",
    ),
    "uk": (
        r"асистент\w*|помічник\w*|мовн\w+ модел\w+|штучн\w+ інтелект\w*",
        r"користувач\w*|власник\w*|читач\w*",
        r"(?:будь-яке|кожне|на) (?:за)?питання|запита\w+|спита\w+",
        r"відповідай|скажи|кажи|називай|рекомендуй",
        r"пам'ят\w+|запам'ятай|збережи|запиши|онови",
        r"забудь|ігноруй|не згадуй|видали",
        r"нічого іншого|завжди|назавжди|відтепер|лише|тільки|правильн\w+|підтверджен\w+",
        r"мі[йя] .{1,25}(?: це| —)|мене звати",
    ),
    "pl": (
        r"asysten\w+|model\w* jezykow\w+|sztuczn\w+ inteligencj\w*",
        r"uzytkownik\w*|wlascicie\w+|czytelnik\w*",
        r"(?:kazde|wszystkie|na) pytani\w+|zapyta\w*|pyta\b",
        r"odpowiadaj|odpowiedz|powiedz|mow\b|podaj|polecaj",
        r"pamie\w+|zapamietaj|zapisz|zachowaj|zaktualizuj",
        r"zapomnij|zignoruj|ignoruj|nie wspominaj|usun",
        r"nic (?:wiecej|innego)|zawsze|na zawsze|od teraz|tylko|wylacznie|potwierdzon\w+|prawidlow\w+",
        r"moj .{1,25} to|nazywam sie",
    ),
    "cs": (
        r"asisten\w+|jazykov\w+ model\w*|umel\w+ inteligenc\w*",
        r"uzivatel\w*|majitel\w*|ctenar\w*",
        r"(?:kazdou|vsechny|na) otazk\w+|zept\w+|pta\b",
        r"odpovidej|odpovez|rekni|rikej|uved",
        r"pamet\w*|zapamatuj|uloz|zapis|aktualizuj",
        r"zapomen|ignoruj|nezminuj|smaz",
        r"nic jineho|vzdy|navzdy|od ted|jen\b|pouze|potvrzen\w+|spravn\w+",
        r"muj .{1,25} je|jmenuji se",
    ),
    "sv": (
        r"assistent\w*|sprakmodell\w*|artificiell\w* intelligen\w+",
        r"anvandare\w*|agare\w*|lasare\w*|brugere\w*|brukere\w*",
        r"(?:varje|alla|pa) frag\w+|fragar|tillfragas|(?:hvert|ethvert|alle) sporgsmal",
        r"svara|svar\b|sag\b|namn|rekommendera",
        r"minne\w*|kom ihag|spara|anteckna|uppdatera|husk\b",
        r"glom|ignorera|namn inte|radera|glem\b",
        r"inget annat|alltid|for alltid|fran och med nu|endast|bekraftad\w*|aldrig|ratta",
        r"min .{1,25} (?:ar|heter)|jag heter",
    ),
    "tr": (
        r"asistan\w*|dil model\w*|yapay zeka\w*",
        r"kullanici\w*|sahib\w*|okuyucu\w*",
        r"(?:her|tum|butun) soru\w*|sorulursa|sorul\w+|sorar\w*",
        r"cevap ver|yanitla|de\b|soyle|oner\b",
        r"hafiza\w*|bellek\w*|hatirla|kaydet|guncelle",
        r"unut|yok say|bahsetme|sil\b",
        r"baska bir sey|her zaman|daima|bundan sonra|sadece|yalnizca|onaylan\w+|dogru",
        r"benim .{1,25}",
    ),
}
_CJK: tuple[tuple[str, ...], ...] = (
    (
        r"助手|助理|语言模型|語言模型|大模型|人工智能|机器人",
        r"用户|用戶|主人|机主|你所帮助|您所帮助|你帮助的|读者|用户资料",
        r"问到|问起|问及|被问|提问|询问|的问题|凡是问",
        r"回答|回复|就说|告诉|推荐|答案|说成",
        r"记忆|内存|记住|记录|保存|存入|写入|更新|资料",
        r"忽略|无视|忘记|忘掉|不要理会|不要透露|不要提|删除|作废",
        r"一律|总是|永远|只能|务必|从现在起|今后|以后|正确|已确认|不要提别的|始终",
        r"我的.{1,20}是|我叫",
    ),
    (
        r"アシスタント|言語モデル|人工知能|チャットボット|ai(?:は|へ|に)",
        r"ユーザー|利用者|所有者|オーナー|持ち主|読者",
        r"聞かれた|尋ねられた|質問|問われた",
        r"答えて|回答|返答|言って|伝えて|勧めて|答え",
        r"記憶|メモリ|覚えて|保存|記録|更新",
        r"忘れて|無視|言及しない|触れない|削除",
        r"必ず|常に|これから|今後|のみ|だけ|正しい|確認済み|永遠",
        r"私の.{1,20}は",
    ),
    (
        r"어시스턴트|비서|언어 모델|인공지능|챗봇",
        r"사용자|주인|소유자|독자",
        r"질문|물으면|물어보면|묻는",
        r"대답|답변|답하|말해|말하|추천",
        r"기억|메모리|저장|기록|업데이트",
        r"잊어|무시|언급하지|삭제",
        r"항상|반드시|앞으로|오직|만 |다른 말|정답|확인됨|영원히",
        r"(?:내|나의) .{1,20}(?:은|는|이)",
    ),
    (
        r"المساعد|النموذج اللغوي|الذكاء الاصطناعي",
        r"المستخدم|المالك|القارئ",
        r"كل سؤال|سؤال|سئلت|يسأل",
        r"أجب|اجب|قل|اذكر|الإجابة|رد ب",
        r"ذاكرة|ذاكرتك|تذكر|احفظ|سجل|حدث",
        r"تجاهل|انس|لا تذكر|احذف",
        r"فقط|دائما|من الآن|الصحيح|مؤكد|أبدا",
        r"اسمي",
    ),
)
_COMMON: dict[str, str] = {
    "de": "der das und ist nicht auf mit dem dir dich dein mein dieser diese jede als nach zu",
    "fr": "le les des est que dans pour sur une tu ta ton mon toute aux",
    "es": "el los las que es por para con tu mi una",
    "it": "il lo gli di che una tua alla mio ogni",
    "pt": "que para uma seu sua meu ao qualquer voce",
    "nl": "het een dat je mijn deze elke alle",
    "pl": "na nie jest moj uzytkownik kazde uzytkownika",
    "cs": "na je se muj kazdou vsechny pro",
    "sv": "och att det pa som alla varje anvandarens till brugeren",
    "tr": "ve bir icin bu her olarak benim",
}
"""Words of which a sentence of the language has one, so that others need not be looked at."""
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_OTHERS = re.compile(r"[\u0600-\u06ff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _fields_of(words: tuple[str, ...], *, is_spaced: bool) -> list[re.Pattern[str]]:
    folded = [fold(field) for field in words]
    return [re.compile(rf"\b(?:{field})(?!\w)" if is_spaced else field) for field in folded]


_SPACED = {
    name: (
        re.compile(rf"\b(?:{'|'.join(_COMMON[name].split())})\b") if name in _COMMON else _CYRILLIC,
        _fields_of(words, is_spaced=True),
    )
    for name, words in _WORDS.items()
}
_COMPILED = [*_SPACED.values(), *((_OTHERS, _fields_of(words, is_spaced=False)) for words in _CJK)]
_LEAST = 2
_ENOUGH = 4


def foreign_fields(readings: list[str]) -> float:
    """How much in some text speaks to an assistant in a language other than English, 0 to 1, by how many fields it has.

    One field is nothing; one is of answering, remembering or forgetting, and one of who is spoken to or what is asked.

    `readings` as `disguise.readings` gives them.
    """
    plain = readings[0]
    most = max((_count(fields, readings) for common, fields in _COMPILED if common.search(plain)), default=0)
    return 0.0 if most < _LEAST else min(1.0, (most - 1) / (_ENOUGH - 1))


def _count(fields: list[re.Pattern[str]], readings: list[str]) -> int:
    found = {n for n, field in enumerate(fields) if any(field.search(reading) for reading in readings)}
    to_somebody = {_HELPER, _SERVED, _ASKED, _MINE} & found
    told = {_ANSWER, _MEMORY, _FORGET} & found
    is_order = bool(told) and (bool(to_somebody) or len(told) > 1)
    return len(found) if is_order or {_SERVED, _ONLY} <= found else 0
