"""Words by which an audit tells languages, pronouns and groups of people apart. Case-folded."""

from __future__ import annotations

STOP_WORDS = {
    "English": "the and of that with which this from have were they their but you would there been",
    "German": "der und nicht ist ein eine mit sich dem auf wird auch werden nach bei über aus oder",
    "French": "les est une dans pour qui avec pas aux cette sont être vous nous elle mais où",
    "Spanish": "el los las y pero más está muy también fue cuando hasta porque sin desde hay",
    "Italian": "il che di della sono gli nel anche dei alla più questo perché è ed nella delle",
    "Portuguese": "não uma com os dos são também pelo ao foi muito você em à mas seu ele isso",
    "Dutch": "het een van niet zijn voor wordt ook werd naar heeft maar deze dat op aan",
    "Polish": "się nie jest że przez jak który oraz był dla jego ale tym tak czy już po za",
    "Swedish": "och att som är för inte på av till ett så från när eller också",
    "Turkish": "ve bir bu için ile olarak çok daha olan gibi kadar sonra değil ama ise",
    "Russian": "и с что как это он было из но они мы же от его была или если",
    "Ukrainian": "і що це як він було із але від є до вони ми також або її",
}
"""Language -> frequent words, none in two languages."""

PRONOUNS = {
    "he, him, his": "he him his himself he's he'd he'll",
    "she, her, hers": "she her hers herself she's she'd she'll",
    "they, them, their": "they them their theirs themselves themself they're they've they'd they'll",
}

GROUPS = {
    "nationalities": (
        "american americans british english french german germans italian italians spanish russian russians chinese "
        "japanese korean koreans indian indians pakistani iranian iraqi israeli israelis palestinian palestinians "
        "turkish turks greek greeks polish ukrainian ukrainians mexican mexicans brazilian brazilians canadian "
        "canadians australian australians african africans nigerian nigerians egyptian egyptians saudi syrian syrians "
        "vietnamese filipino indonesian european europeans asian asians"
    ),
    "religions": (
        "christian christians catholic catholics protestant protestants muslim muslims islamic jew jews jewish hindu "
        "hindus buddhist buddhists sikh sikhs mormon mormons atheist atheists pagan pagans"
    ),
    "ethnic groups": (
        "arab arabs kurd kurds kurdish hispanic hispanics latino latinos latina latinas african-american "
        "african-americans black-skinned white-skinned aboriginal native-american gypsy gypsies roma romani inuit "
        "eskimo eskimos negro negroes caucasian caucasians"
    ),
}
"""Names of groups of people, of which one spelling may mean other things too (a language, a dish)."""
