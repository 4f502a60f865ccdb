"""Makes sets of corrected statements from templates, with a seed; `updates.py` documents the format and measures them.

A case states something, talks of other things, corrects the statement in other words, and asks for it in others.
Sets of seeds that begin with `dev` take the first wordings of each list, on which rules and recall were tuned; all
others take the last, which was written afterwards, and looked at for two repairs only. Seeds that begin with `learn`
make the set that weights are learned from: wordings for tuning, and cases in update_cases_dev.json. Of the other sets a
part of the cases is in words that no rule reads, and every other case is as people write in chat, in wordings that
seeds for tuning (update_chats_dev.py and its sequels) and all others (update_chats.py) do not share.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from secondme.bench.recall.update_chats import CHATTED
from secondme.bench.recall.update_chats_dev import CHATTED_DEV
from secondme.bench.recall.update_chats_dev_last import CHATTED_DEV_LAST
from secondme.bench.recall.update_chats_dev_more import CHATTED_DEV_MORE
from secondme.bench.recall.update_plain_dev import PLAIN_DEV
from secondme.bench.recall.update_plain_dev_more import PLAIN_DEV_MORE
from secondme.bench.recall.update_topics import Topic

N_CASES = 200
N_UNSEEN = 1
"""Of the wordings, how many at the end of each list no seed for tuning takes."""
N_OF_EACH = 1
"""Cases of each matter to learn from: more would drown those that were written one by one, which are nearer to life."""
WRITTEN = Path(__file__).resolve().with_name("update_cases_dev.json")
DAY_S = 86400.0
FIRST_DAY = 1_756_720_800.0  # 1 September 2025, 10:00 UTC


_CITIES = "Aachen|Bergen|Cádiz|Delft|Esbjerg|Faro|Genoa|Haarlem|Izmir|Jena|Kraków|Limerick".split("|")
_FIRMS = (
    "Alder & Finch|Bluewave|Corvid Labs|Dunmore|Everline|Foxglove|Granite Peak|Hollis Media|Ironbridge|Juniper".split(
        "|"
    )
)
_NAMES = "Adele|Bogdan|Carmen|Dorota|Emeka|Fatima|Gustav|Hanneke|Ivo|Jasmin|Kasimir|Leonor|Matteo|Nkechi".split("|")
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday".split("|")
_DATES = "3 March|17 March|2 April|21 April|9 May|28 May|11 June|30 June".split("|")
_TIMES = "7:15|8:30|9:45|10:20|13:40|16:05|18:30".split("|")

TOPICS = (
    Topic(
        "home", _CITIES,
        ("I live in {v}.", "I'm based in {v}.", "We've been living in {v} for three years.", "My home is in {v}.",
         "These days I live in {v}.", "We have a flat and live in {v}.", "My flat is in {v}; I live in {v}.",
         "Home for me: I live in {v}.", "At the moment I live in {v}."),
        ("I moved to {v} last week.", "Actually, I live in {v} now.", "We relocated to {v}.",
         "Big news: I've moved from {o} to {v}!", "We've settled in {v}.",
         "I don't live in {o} any more, I live in {v} now.", "I packed up and moved to {v}.",
         "My home is in {v} now, not in {o}.", "I left {o} and live in {v} now."),
        ("Where do I live?", "Which city am I living in now?", "What town do I call home?",
         "Where am I based these days?", "In which city do I live?", "Do you remember where I live?",
         "What city do I live in?", "Where is my home?", "Tell me, where do I live?"),
        ("Where did I use to live?", "Which city did I live in before?", "In which city did I live earlier?",
         "Where was my home before?", "What city did I live in before?", "Where was I living earlier?",
         "Where did I live before that?"),
    ),
    Topic(
        "employer", _FIRMS,
        ("I work at {v}.", "I'm employed by {v}.", "I work for {v} in the finance team.", "My employer is {v}.",
         "I'm working at {v}.", "I have a job at {v}.", "My company is {v}.",
         "For five years I've worked at {v}, and I still work at {v}.", "Right now I work at {v}."),
        ("I started a new job at {v}.", "I left {o} and joined {v}.", "I now work for {v}.",
         "I quit {o}; I'm at {v} now.", "I've joined {v}.", "I no longer work at {o}, I work at {v} now.",
         "I was hired by {v} and work there; my employer is {v} now.", "My new employer is {v}.",
         "I left {o} for {v}; I work at {v} now."),
        ("Where do I work?", "Who is my employer?", "What company do I work for?", "Which firm employs me?",
         "Where am I working?", "At which company do I work?", "What's the name of my employer?",
         "Which company do I work for?", "What firm do I work for?"),
        ("Where did I work before?", "Who was my previous employer?", "At which company did I work previously?",
         "Where did I use to work?", "Which company did I work for before?", "What was my old employer?",
         "What firm did I work for before?"),
    ),
    Topic(
        "job", "nurse|carpenter|translator|chemist|gardener|librarian|pilot|photographer|baker|architect".split("|"),
        ("I'm a {v}.", "I work as a {v}.", "My job is {v}.", "I earn my living as a {v}; I am a {v}.",
         "By profession I'm a {v}.", "I work full-time as a {v}.", "I'm working as a {v}.",
         "My occupation: I am a {v}.", "I am a trained {v} and I work as a {v}."),
        ("I'm a {v} now.", "I now work as a {v}.", "I retrained and became a {v}.",
         "I'm no longer a {o}, I'm a {v}.", "I've become a {v}.", "Update: I'm a {v} now.",
         "After a course I now work as a {v}.", "I changed careers and I'm a {v} now.", "Since June I'm a {v}."),
        ("What do I do for a living?", "What's my job?", "What is my profession?", "What do I work as?",
         "What is my occupation?", "Which profession do I have?", "What do I work as?", "What's my profession?",
         "What am I by profession?"),
        ("What did I do for a living before?", "What was my old job?", "What was my job earlier?",
         "What did I use to work as?", "What was my profession before?", "What did I work as before?",
         "What was my previous profession?"),
    ),
    Topic(
        "favourite colour", "teal|crimson|ochre|indigo|olive|magenta|ivory|scarlet".split("|"),
        ("My favourite colour is {v}.", "{v} is my favourite colour.", "My favorite color is {v}.",
         "My favourite colour's {v}.", "I'd say my favourite colour is {v}.",
         "The colour I like best: my favourite colour is {v}.", "If you ask me, {v} is my favourite colour.",
         "My favourite colour is {v}, by the way.", "Of all colours {v} is my favourite colour."),
        ("My favourite colour is {v} now.", "My favourite colour has changed to {v}.",
         "Actually my favourite colour is {v}, not {o}.", "My favourite colour isn't {o} any more, it's {v}.",
         "Correction: my favourite colour is {v}.", "These days my favourite colour is {v}.",
         "I changed my mind, my favourite colour is {v}.", "{v} is my favourite colour now.",
         "Now my favourite colour is {v}."),
        ("What's my favourite colour?", "Which colour do I like best?", "What is my favorite color?",
         "Which is my favourite colour?", "Tell me my favourite colour.", "What colour is my favourite?",
         "What's my favorite colour?", "Do you recall my favourite colour?",
         "Could you tell me what my favourite colour is?"),
        ("What was my favourite colour before?", "What did my favourite colour use to be?",
         "What was my previous favourite colour?", "Which colour was my favourite before?",
         "What was my old favourite colour?", "Which was my favourite colour earlier?",
         "What was my former favourite colour?"),
    ),
    Topic(
        "favourite food", "paella|ramen|pierogi|moussaka|laksa|gnocchi|falafel|goulash".split("|"),
        ("My favourite food is {v}.", "{v} is my favourite dish.", "My favorite food is {v}.",
         "My all-time favourite food is {v}.", "My favourite meal is {v}.",
         "Just so you know, my favourite food is {v}.", "Nothing beats it: my favourite food is {v}.",
         "My favourite dish is {v}.", "I must say my favourite food is {v}."),
        ("My favourite food is now {v}.", "{v} is my favourite food now.", "No, my favourite food is {v}.",
         "My favourite food changed to {v}.", "My favourite food isn't {o} any more, it's {v}.",
         "Actually my favourite food is {v}, not {o}.", "My new favourite food is {v}.",
         "By now my favourite dish is {v}.", "No longer {o}: my favourite food is {v}."),
        ("What's my favourite food?", "Which food is my favourite?", "What is my favorite food?",
         "Do you know my favourite food?", "What food is my favourite?", "What is my favourite dish?",
         "Which dish is my favourite?", "What's my favorite dish?", "What's the food I like best, my favourite?"),
        ("What was my favourite food earlier?", "What did my favourite food use to be?",
         "What was my favourite dish before?", "Which food was my favourite previously?",
         "What was my old favourite food?", "Which dish was my favourite before?",
         "What was my former favourite food?"),
    ),
    Topic(
        "partner", _NAMES,
        ("My wife is called {v}.", "My partner's name is {v}.", "I'm married to {v}.",
         "My girlfriend is called {v}.", "My husband is called {v}.", "My husband's name is {v}.",
         "My fiancée is called {v}.", "I have a girlfriend named {v}.", "My boyfriend is called {v}."),
        ("Sorry, my wife is called {v}, not {o}.", "Actually my partner's name is {v}.", "I'm now married to {v}.",
         "I broke up with {o}; my girlfriend is called {v}.", "Sorry, I meant: my husband is called {v}.",
         "No, my husband's name is {v}.", "My new girlfriend is called {v}.", "I'm engaged to {v} now.",
         "My boyfriend isn't {o} any more, it's {v}."),
        ("What is my wife's name?", "Who is my partner?", "Who am I married to?", "What's my girlfriend called?",
         "What is my husband's name?", "What's my husband called?", "What's the name of my girlfriend?",
         "Who am I together with?", "Who is my boyfriend?"),
        ("Who was my partner before?", "Who did I use to be with?", "Who was my husband before?",
         "What was the name of my previous husband?", "Who was my previous girlfriend?",
         "What was the name of my former girlfriend?", "Who was my boyfriend before?"),
    ),
    Topic(
        "boss", _NAMES,
        ("My boss is {v}.", "My manager is called {v}.", "I report to {v}.", "My line manager is {v}.",
         "My supervisor is {v}.", "At work my boss is {v}.", "My team lead is {v}.", "My boss is called {v}.",
         "{v} is my boss."),
        ("My new boss is {v}.", "{v} is my manager now.", "I now report to {v}.",
         "My boss isn't {o} any more, it's {v}.", "I have a new boss: my boss is {v} now.", "My boss is now {v}.",
         "{v} became my boss.", "Update: I report to {v} now.", "Since Monday my boss is {v}."),
        ("Who is my boss?", "What's my manager called?", "Who do I report to?", "Who is my line manager?",
         "What's the name of my boss?", "Who's my manager?", "What is my boss called?",
         "Who do I answer to at work, who is my boss?", "Who's my boss at work?"),
        ("Who was my boss before?", "Who did I use to report to?", "Who was my previous boss?",
         "Who used to be my boss?", "What was my old boss called?", "Who was my former boss?",
         "Who was my boss previously?"),
    ),
    Topic(
        "dog", _NAMES,
        ("My dog is called {v}.", "My dog's name is {v}.", "I have a dog named {v}.", "We have a dog called {v}.",
         "Our dog is called {v}.", "Our dog's name is {v}.", "I own a dog called {v}.", "The name of my dog is {v}.",
         "My puppy is called {v}."),
        ("Correction: my dog is called {v}, not {o}.", "We renamed the dog to {v}.", "Sorry, my dog's name is {v}.",
         "Actually, our dog is called {v}.", "My dog isn't called {o}, my dog is called {v}.",
         "I mixed that up: actually my dog is called {v}.", "Correction: my dog's name is {v}.",
         "We've renamed our dog to {v}.", "Wait, my puppy is called {v}, not {o}."),
        ("What's my dog called?", "What is the name of my dog?", "What's my dog's name?", "How is my dog called?",
         "What is our dog called?", "Do you know my dog's name?", "What name does my dog have?",
         "What is my dog called?", "What's the name of my puppy?"),
        ("What was my dog called before?", "What did my dog use to be called?", "What was the dog's name before?",
         "What was my dog's previous name?", "What name did my dog have before?", "What was the old name of my dog?",
         "What was my puppy called before?"),
    ),
    Topic(
        "phone number", "0151 2030405|0160 5556677|0172 9081726|0176 3344556|0157 7712345".split("|"),
        ("My phone number is {v}.", "You can reach me at {v}.", "My mobile number is {v}.", "My number is {v}.",
         "Call me on {v}; my number is {v}.", "My telephone number is {v}.", "My cell number is {v}.",
         "My phone number: {v}, that's right, my phone number is {v}.",
         "People reach me by phone: my number is {v}."),
        ("My phone number changed to {v}.", "My new number is {v}.",
         "I have a new phone; my phone number is {v} now.", "My mobile number is now {v}.",
         "My number has changed to {v}.", "Please note my new phone number is {v}.", "My cell number is now {v}.",
         "My phone number has been changed to {v}.", "As of today my phone number is {v}."),
        ("What's my phone number?", "On which number can I be reached?", "What is my mobile number?",
         "What's my telephone number?", "What number do people reach me at by phone?",
         "Can you tell me my phone number?", "What's my cell number?", "Which phone number do I have?",
         "Which number is mine?"),
        ("What was my old phone number?", "What was my previous number?", "What was my phone number before?",
         "What did my phone number use to be?", "What was my cell number before?",
         "Which phone number did I have previously?", "Which number was mine before?"),
    ),
    Topic(
        "appointment", _DAYS,
        ("My dentist appointment is on {v}.", "I have a dentist appointment on {v}.",
         "I'm seeing the dentist on {v}.", "On {v} I see the dentist.", "My appointment with the dentist is on {v}.",
         "There's a dentist appointment on {v}.", "I've got a dentist appointment on {v}.",
         "My next dentist appointment is on {v}.", "I have an appointment with the dentist on {v}."),
        ("My dentist appointment was moved to {v}.", "The dentist appointment is now on {v}.",
         "My dentist appointment has been rescheduled to {v}.",
         "The dentist moved it: my dentist appointment is on {v}.", "My dentist appointment was postponed to {v}.",
         "Actually, my dentist appointment is on {v}.", "They moved my dentist appointment to {v}.",
         "My dentist appointment is {v} now.", "The dentist appointment got moved to {v}."),
        ("When is my dentist appointment?", "On what day do I see the dentist?",
         "When do I have to go to the dentist?", "Which day is the dentist appointment?",
         "What day is my dentist appointment?", "When am I seeing the dentist?", "When's my dentist appointment?",
         "On which weekday is my dentist appointment?", "When do I see my dentist?"),
        ("When was my dentist appointment originally?", "On which day was my dentist appointment before?",
         "When was the dentist appointment before?", "What day was my dentist appointment originally?",
         "When was my dentist appointment before?", "On which weekday was my dentist appointment originally?",
         "When was I going to see my dentist originally?"),
    ),
    Topic(
        "deadline", _DATES,
        ("The project deadline is {v}.", "Our project deadline is {v}.", "The deadline of the project is {v}.",
         "My project deadline is on {v}.", "The deadline for the project is {v}.",
         "We agreed that the project deadline is {v}.", "The project deadline: the project deadline is {v}.",
         "My project's deadline is {v}.", "Our client set the project deadline to {v}."),
        ("The deadline was pushed to {v}.", "The project deadline has been moved to {v}.",
         "The deadline is now {v}.", "Our deadline has been extended to {v}.",
         "The project deadline was brought forward to {v}.", "The project deadline is now {v}.",
         "The client moved the project deadline to {v}.", "The project deadline slipped to {v}.",
         "Our project deadline is now {v}."),
        ("When is the project deadline?", "What's the deadline of my project?",
         "When is the project due, what is the deadline?", "By when is the deadline?",
         "What is the project deadline?", "Which day is the project deadline?", "When's the project deadline?",
         "What date is the project deadline?", "When do we have the project deadline?"),
        ("What was the original project deadline?", "When was the deadline before?",
         "What was the project deadline before?", "When was the project deadline originally?",
         "What date was the project deadline before?", "When was the project deadline at first?",
         "When did we have the project deadline originally?"),
    ),
    Topic(
        "flight", _TIMES,
        ("My flight is at {v}.", "My flight to Lisbon is at {v}.", "Our flight is at {v}.", "My flight's at {v}.",
         "My flight leaves at {v}.", "We have a flight at {v}.", "Our flight leaves at {v}.",
         "The flight is at {v}.", "I have a flight at {v}."),
        ("My flight was moved to {v}.", "My flight is now at {v}.", "The flight has been delayed to {v}.",
         "Our flight was rescheduled to {v}.", "Update: my flight is at {v}.", "My flight got pushed back to {v}.",
         "The airline moved my flight to {v}.", "My flight leaves at {v} now.",
         "Update: my flight was rescheduled to {v}."),
        ("When is my flight?", "At what time is my flight?", "What time is our flight?",
         "When does my flight leave?", "What time is my flight?", "When is our flight?",
         "At what time does my flight leave?", "What's the time of my flight?",
         "When do I fly, what time is my flight?"),
        ("When was my flight originally?", "What time was my flight before?", "At what time was my flight before?",
         "When was the flight at first?", "What time did my flight leave originally?",
         "What was the time of my flight before?", "What was the original time of my flight?"),
    ),
    Topic(
        "diet", "vegan|vegetarian|pescatarian|flexitarian".split("|"),
        ("I'm {v}.", "I'm a {v}.", "I am a strict {v}.", "I've been {v} for years.", "I've gone {v}.",
         "I'm strictly {v}.", "My doctor wanted it, so I'm {v}.", "I became {v} at school.", "As to food, I'm {v}."),
        ("I'm {v} now.", "I've become {v}.", "I went {v} in spring.", "I'm no longer {o}, I'm {v}.",
         "I've gone {v} now.", "I turned {v}.", "I'm not {o} any more; I'm {v}.", "By now I'm {v}.",
         "As of this year I'm {v}."),
        ("What is my diet?", "What kind of diet do I follow?", "Am I vegan or vegetarian or something else?",
         "How do I eat, what is my diet?", "Which diet am I on?", "What diet do I keep to?", "What diet am I on?",
         "What's my diet?", "What do I eat, what's my diet?"),
        ("What was my diet before?", "What diet did I use to follow?", "What was my old diet?",
         "Which diet did I have before?", "What diet was I on before?", "What was my previous diet?",
         "What was my former diet?"),
    ),
    Topic(
        "editor", "Vim|Emacs|Helix|Kakoune|Sublime|Zed|Nano".split("|"),
        ("My editor is {v}.", "I use {v} for coding.", "My text editor is {v}.", "I use {v} as my editor.",
         "I do my coding in {v}; my editor is {v}.", "My code editor is {v}.",
         "My favourite tool: my editor is {v}.", "At work I use {v} as my editor.",
         "The editor I use is {v}; my editor is {v}."),
        ("I switched from {o} to {v}.", "I've replaced {o} with {v}.", "My editor is now {v}.",
         "I moved from {o} to {v}.", "I dropped {o}; my editor is {v} now.", "I've switched over from {o} to {v}.",
         "I gave up {o}; my editor is {v} now.", "We switched from {o} to {v}.",
         "I've changed my editor from {o} to {v}."),
        ("Which editor do I use?", "What's my text editor?", "What editor do I use for coding?",
         "Which text editor am I using?", "What is my editor?", "Which code editor do I use?", "What's my editor?",
         "Which editor am I using?", "Tell me which editor I use."),
        ("Which editor did I use before?", "What was my previous editor?", "What editor did I use earlier?",
         "Which was my old editor?", "What was my old editor?", "Which editor was I using before?",
         "Which editor did I use previously?"),
    ),
    Topic(
        "car", "Fiat Panda|Mazda 3|Skoda Octavia|Volvo V60|Dacia Spring|Renault Zoe".split("|"),
        ("My car is a {v}.", "I drive a {v}.", "Our car is a {v}.", "I drive a {v} these days.", "We drive a {v}.",
         "I own a car: my car is a {v}.", "I've got a car; it's my old friend: my car is a {v}.",
         "I'm driving a {v}; my car is a {v}.", "My car's a {v}."),
        ("My new car is a {v}.", "I replaced my {o} with a {v}.", "I drive a {v} now.", "I traded my {o} for a {v}.",
         "I sold the {o}; my car is a {v} now.", "I've swapped my {o} for a {v}.", "My car is a {v} now.",
         "I sold my {o} and I drive a {v} now.", "I've replaced my {o} with a {v}."),
        ("What car do I drive?", "Which car do I have?", "What's my car?", "What kind of car do I drive?",
         "Which car do I drive?", "What is my car?", "What car is mine, what do I drive?",
         "What's the make of my car?", "What kind of car is mine?"),
        ("What car did I drive before?", "What was my old car?", "Which car did I drive before?",
         "What was my previous car?", "What car did I use to drive?", "What was my former car?",
         "What kind of car did I have before?"),
    ),
    Topic(
        "team lead", _NAMES,
        ("My best friend is {v}.", "{v} is my best friend.", "My closest friend is {v}.", "My best mate is {v}.",
         "My best friend's name is {v}.", "My best friend is called {v}.",
         "I have a best friend: my best friend is {v}.", "My best friend since school is {v}.",
         "My closest friend is called {v}."),
        ("My best friend is now {v}.", "{v} is my best friend now.", "Actually my best friend is {v}.",
         "My best friend isn't {o} any more, it's {v}.", "Update: my best friend is {v}.",
         "These days my best friend is {v}.", "By now {v} is my best friend.", "Correction: my best friend is {v}.",
         "My closest friend is {v} now."),
        ("Who is my best friend?", "What's the name of my best friend?", "Who's my closest friend?",
         "Which friend is my best friend?", "What is my best friend called?", "Can you name my best friend?",
         "Who's my best friend?", "What name does my best friend have?",
         "Who is closest to me, who is my best friend?"),
        ("Who was my best friend before?", "Who used to be my best friend?",
         "What was my best friend called before?", "Who was my previous best friend?",
         "Who was my best friend previously?", "Who was formerly my best friend?",
         "Who was my closest friend before?"),
    ),
    Topic(
        "sister's home", _CITIES,
        ("My sister lives in {v}.", "My sister is based in {v}.", "My sister lives in {v} with her kids.",
         "My sister currently lives in {v}.", "My sister is living in {v}.",
         "My sister has a house and lives in {v}.", "My sister settled down and lives in {v}.",
         "My sister's home is {v}.", "My sister moved to {v} years ago."),
        ("My sister moved to {v}.", "My sister lives in {v} now.", "My sister has relocated to {v}.",
         "My sister recently moved to {v}.", "My sister no longer lives in {o}, she moved to {v}.",
         "My sister has just moved to {v}.", "My sister left {o} and moved to {v}.",
         "Since May my sister lives in {v}.", "My sister doesn't live in {o} any more, she lives in {v}."),
        ("Where does my sister live?", "In which city does my sister live?", "Where is my sister living?",
         "What town does my sister live in?", "Which city is my sister living in?", "Where is my sister's home?",
         "Where's my sister living?", "What city does my sister live in?", "In what city is my sister based?"),
        ("Where did my sister live before?", "Where did my sister use to live?",
         "Which city did my sister live in before?", "Where was my sister's home before?",
         "What city did my sister use to live in?", "Where was my sister living before?",
         "In what city was my sister based before?"),
    ),
    Topic(
        "wife's work", _FIRMS,
        ("My husband works at {v}.", "My husband works for {v}.", "My husband is working at {v}.",
         "My husband works at {v} as a clerk.", "My husband has a job at {v}.", "My husband is employed by {v}.",
         "My husband works full-time at {v}.", "My husband found work and works at {v}.",
         "My husband currently works at {v}."),
        ("My husband got a new job at {v}.", "My husband now works at {v}.", "My husband joined {v}.",
         "My husband left {o} and now works for {v}.", "My husband just joined {v}.",
         "My husband started working at {v}.", "My husband quit {o} and joined {v}.",
         "My husband works for {v} now.", "My husband changed jobs, he works at {v} now."),
        ("Where does my husband work?", "Who does my husband work for?", "What company does my husband work at?",
         "Which firm is my husband working for?", "At which company does my husband work?",
         "Who employs my husband?", "Where's my husband working?", "What's the name of my husband's employer?",
         "Which company does my husband work for?"),
        ("Where did my husband work before?", "Who did my husband use to work for?",
         "At which company did my husband work before?", "Where did my husband use to work?",
         "Where was my husband working before?", "What was my husband's previous employer?",
         "Which company did my husband work for before?"),
    ),
    Topic(
        "answer language", "German|French|Spanish|Italian|Polish".split("|"),
        ("Always answer in {v}.", "Please always reply in {v}.", "From now on, answer in {v}.",
         "I want you to always answer in {v}.", "Always write to me in {v}.", "Please reply in {v} from now on.",
         "By default, answer in {v}.", "You should always answer in {v}.", "In future, always answer in {v}."),
        ("From now on answer in {v}.", "Always answer in {v}, please.", "Please always answer in {v} from now on.",
         "Never mind {o}. From now on, always reply in {v}.", "Change of plan: from now on, reply in {v}.",
         "From now on I want you to answer in {v}.", "Starting now, always answer in {v}.",
         "Correction: always reply in {v}.", "In future, answer in {v} instead."),
        ("In which language should you answer?", "What language should you answer in?",
         "Which language do I want you to answer in?", "In what language do you answer me?",
         "What language do you have to use with me?", "Which answer language did I ask for?",
         "In what language should your answers be?", "What language do I want your answers in?",
         "Which language should your replies be in?"),
        ("In which language did you have to answer before?", "What answer language did I want before?",
         "Which language did I want for answers before?", "What was the answer language before?",
         "In what language did I want your answers before?", "Which language was used for answers before?",
         "Which language should your replies have been in before?"),
    ),
    Topic(
        "wake-up time", "5:30|6:15|6:45|7:10|7:50|8:20".split("|"),
        ("I get up at {v}.", "I wake up at {v}.", "I usually get up at {v}.", "My wake-up time is {v}.",
         "Every day I get up at {v}.", "My alarm is set to {v}.", "On workdays I get up at {v}.",
         "I set it long ago: my alarm is at {v}.", "Normally I wake up at {v}."),
        ("I get up at {v} now.", "These days I wake up at {v}.", "I now get up at {v}.",
         "My wake-up time has changed to {v}.", "My alarm is now set to {v}.", "Since last week I get up at {v}.",
         "From now on I get up at {v}.", "My alarm is at {v} now.", "Nowadays I get up at {v}."),
        ("When do I get up?", "At what time do I wake up?", "What time do I usually get up?",
         "When do I wake up in the morning?", "When does my day start, when do I get up?",
         "What is my wake-up time?", "At what time do I get up?", "When does my alarm ring?",
         "Around what time do I get up?"),
        ("When did I get up before?", "At what time did I use to wake up?", "What was my wake-up time before?",
         "When did I get up previously?", "At what time did I get up before?", "When did my alarm ring previously?",
         "Around what time did I get up earlier?"),
    ),
)  # fmt: skip

# In words that no rule reads: here the newest of what was said about it must come first.
LOOSE = (
    Topic(
        "hallway paint", "sage green|terracotta|pale yellow|slate blue|warm white".split("|"),
        ("For the hallway walls we picked {v}.", "The hallway is getting painted {v}.",
         "The painters will do the hallway in {v}.", "Hallway: {v} paint it is.", "We're doing the hallway in {v}.",
         "The colour for the hallway will be {v}.", "The hallway gets {v} walls.",
         "We chose {v} as the colour of the hallway.", "Somebody suggested {v} for the hallway, so that is it."),
        ("We went with {v} for the hallway after all.", "On second thought the hallway walls get {v}.",
         "The hallway ends up {v} after all.", "Scrap that, the painters will do the hallway in {v}.",
         "The hallway is going to be {v} now.", "We changed our minds: {v} for the hallway.",
         "The hallway gets {v} walls instead.", "Actually we chose {v} as the hallway colour.",
         "Then we took {v} for the hallway instead."),
        ("What colour will the hallway be?", "Which paint did we pick for the hallway?",
         "How is the hallway getting painted?", "What colour do the hallway walls get?",
         "What's the colour of the hallway going to be?", "Which colour did we choose for the hallway?",
         "What's the hallway colour?", "Which colour do the walls of the hallway get?",
         "Which colour is the hallway?"),
        (),
    ),
    Topic(
        "choir piece", "a Purcell anthem|a Fauré motet|two Grieg psalms|a Byrd mass|a Holst carol".split("|"),
        ("The choir is going to sing {v} at the spring concert.", "For the spring concert the choir rehearses {v}.",
         "Our choir picked {v} for spring.", "{v}: that's what the choir does in spring.",
         "This spring the choir performs {v}.", "The choir's spring programme is {v}.",
         "The choir has {v} on the list for spring.", "We're singing {v} in the spring concert of the choir.",
         "For spring our choir prepares {v}."),
        ("The choir dropped {o} and sings {v} in spring.", "The spring concert will have {v} by the choir instead.",
         "Turns out the choir does {v} for the spring concert.",
         "The conductor wants {v} from the choir in spring instead.",
         "Instead of {o} the choir performs {v} this spring.", "The choir's spring programme changed to {v}.",
         "The choir now has {v} on the list for spring.",
         "After all we're singing {v} in the choir's spring concert.",
         "The choir gave up on that and prepares {v} for spring."),
        ("What will the choir sing in spring?", "Which piece does the choir rehearse for the spring concert?",
         "What does our choir do at the spring concert?", "What is the choir singing in spring?",
         "What does the choir perform this spring?", "What's on the choir's spring programme?",
         "What does the choir have on the list for spring?", "What are we singing in the choir's spring concert?",
         "What does our choir prepare for spring?"),
        (),
    ),
    Topic(
        "key", "under the flower pot|with the neighbours|in the shed|behind the meter|in the blue box".split("|"),
        ("The spare key lies {v}.", "We keep the spare key {v}.", "You find the spare key {v}.", "Spare key: {v}.",
         "The spare key is {v}.", "I hid the spare key {v}.", "We leave the spare key {v}.",
         "The spare key hangs {v}.", "I leave the spare key {v}."),
        ("We put the spare key {v} instead.", "The spare key lies {v} these days.", "The spare key went {v}.",
         "From today the spare key sits {v}.", "I've moved the spare key, it is {v} now.",
         "The spare key is now {v}.", "Now we leave the spare key {v}.", "The spare key hangs {v} now.",
         "From now on I leave the spare key {v}."),
        ("Where is the spare key?", "Where do we keep the spare key?", "Where can I find the spare key?",
         "Where does the spare key lie?", "Where did we put the spare key?", "Where's the spare key?",
         "Where do we leave the spare key?", "Where does the spare key hang?", "Where do I leave the spare key?"),
        (),
    ),
    Topic(
        "caterer", _FIRMS,
        ("{v} will cater the summer party.", "We booked {v} as caterers for the summer party.",
         "Food at the summer party comes from {v}.", "For catering the summer party we have {v}.",
         "The summer party is catered by {v}.", "{v} brings the food for the summer party.",
         "{v} is doing the catering of the summer party.", "We hired {v} to cater the summer party.",
         "The summer party food comes from {v}."),
        ("{o} cancelled, so {v} will cater the summer party.", "The summer party gets catered by {v} instead.",
         "Catering for the summer party went to {v}.", "{v} takes over the food at the summer party.",
         "We changed caterers: {v} does the summer party now.", "For the summer party we now have {v}.",
         "{v} is doing the catering of the summer party now.", "We hired {v} instead to cater the summer party.",
         "The summer party food comes from {v} after all."),
        ("Who caters the summer party?", "Who does the food for the summer party?",
         "Which caterer do we have for the summer party?", "Who is catering our summer party?",
         "Which firm caters the summer party?", "Who brings the food for the summer party?",
         "Who is doing the catering of the summer party?", "Whom did we hire to cater the summer party?",
         "Where does the summer party food come from?"),
        (),
    ),
    Topic(
        "bike", "a puncture in the rear tyre|a worn chain|a loose headset|a bent derailleur".split("|"),
        ("The shop says the bike has {v}.", "The bike trouble comes from {v}.",
         "According to the mechanic the bike has {v}.", "What ails the bike is {v}.",
         "My mechanic thinks the bike suffers from {v}.", "The bike makes noise because of {v}.",
         "The bike makes trouble because it has {v}.", "Somebody looked at the bike and saw {v}.",
         "My bike has {v}, says the shop."),
        ("The shop looked again: the bike has {v}.", "The bike trouble turned out to be {v}.",
         "The mechanic found out that the bike has {v} instead.", "It was {v} that ailed the bike.",
         "No, the bike's noise comes from {v}.", "Turns out the bike's noise is caused by {v}.",
         "It's not that: the bike has {v} instead.", "Somebody else looked at the bike and actually saw {v}.",
         "Now the shop says my bike has {v}."),
        ("What is wrong with the bike?", "What trouble does the bike have?",
         "What did the mechanic find on the bike?", "What ails the bike?", "Why does the bike make noise?",
         "What causes the bike's noise?", "What is the matter with the bike?", "What did somebody see on the bike?",
         "What does my bike have, according to the shop?"),
        (),
    ),
)  # fmt: skip

_NOISE = (
    ("user", "Can you suggest a film for a rainy evening?"),
    ("assistant", "How about a quiet comedy from the sixties?"),
    ("user", "The soup yesterday turned out a bit salty."),
    ("assistant", "A peeled potato in the pot helps with that."),
    ("user", "How do magnets work?"),
    ("assistant", "Their atoms' fields point the same way."),
    ("user", "I watched the rain for an hour and did nothing."),
    ("user", "What rhymes with orange?"),
    ("assistant", "Almost nothing does."),
    ("user", "My neighbour's roof is being repaired, it is loud."),
    ("user", "Thanks, that was helpful."),
    ("assistant", "You are welcome."),
    ("user", "Explain the offside rule to me."),
    ("user", "The train was late again today."),
    ("assistant", "That must have been annoying."),
    ("user", "Do you think it will snow this week?"),
)


def make(seed: str, n_cases: int = N_CASES) -> dict[str, Any]:
    """A set of `n_cases`, the same for the same seed, as JSON values; what is learned from for seeds with `learn`."""
    random_ = random.Random(seed)
    if seed.startswith("learn"):
        return {"format": "secondme-updates/1", "seed": seed, "cases": [*_to_learn_from(random_), *_written()]}
    tuned = seed.startswith("dev")
    chatted = [*CHATTED_DEV, *CHATTED_DEV_MORE, *CHATTED_DEV_LAST] if tuned else CHATTED
    topics = [*TOPICS, *LOOSE]
    cases = []
    for n in range(n_cases):
        if n % 2:
            cases.append(_case(random_, chatted[n // 2 % len(chatted)], n))
        else:
            cases.append(_case(random_, _cut(topics[n // 2 % len(topics)], tuned=tuned), n))
    return {"format": "secondme-updates/1", "seed": seed, "cases": cases}


def _to_learn_from(random_: random.Random) -> Iterator[dict[str, Any]]:
    """Cases of all matters for tuning, named by matter, and numbered by the list that it stands in."""
    formal = [_cut(topic, tuned=True) for topic in (*TOPICS, *LOOSE)]
    lists = (CHATTED_DEV, CHATTED_DEV_MORE, CHATTED_DEV_LAST, PLAIN_DEV, PLAIN_DEV_MORE, formal)
    for number, topics in enumerate(lists):
        for topic in topics:
            yield from (_case(random_, topic, number * N_OF_EACH + n) for n in range(N_OF_EACH))


def _written() -> list[dict[str, Any]]:
    """Cases that somebody else wrote without knowing the program, one for one."""
    cases: list[dict[str, Any]] = json.loads(WRITTEN.read_text("utf-8"))["cases"]
    return cases


def _cut(topic: Topic, *, tuned: bool) -> Topic:
    """`topic` with the wordings for tuning alone, or with the others."""

    def cut(wordings: Sequence[str]) -> Sequence[str]:
        at = len(wordings) - N_UNSEEN
        return wordings[:at] if tuned else wordings[at:]

    return Topic(
        topic.name, topic.values, *(cut(w) for w in (topic.first, topic.correction, topic.question, topic.past))
    )


def _case(random_: random.Random, topic: Topic, n: int) -> dict[str, Any]:
    n_values = random_.choice((2, 2, 2, 3))
    values = random_.sample(list(topic.values), n_values)
    said = [random_.choice(topic.first).format(v=values[0])]
    said += [random_.choice(topic.correction).format(v=new, o=old) for old, new in pairwise(values)]
    beside = [{"role": "user", "text": text} for text in topic.beside]
    is_first = random_.random() < 0.5
    turns: list[dict[str, Any]] = [*beside] if is_first else []
    for text in said:
        turns += _noise(random_, random_.randint(1, 4))
        turns.append({"role": "user", "text": text if topic.beside else text[:1].upper() + text[1:]})
    turns += _noise(random_, random_.randint(1, 4))
    turns += [] if is_first else beside
    for day, turn in enumerate(turns):
        turn["at"] = FIRST_DAY + day * DAY_S
    case = {"id": f"{topic.name} {n}", "turns": turns, "question": random_.choice(topic.question)}
    case |= {"current": values[-1], "old": values[:-1]}
    if topic.past:
        case["past_question"] = random_.choice(topic.past)
    return case


def _noise(random_: random.Random, n: int) -> list[dict[str, Any]]:
    return [{"role": role, "text": text} for role, text in random_.sample(_NOISE, n)]
