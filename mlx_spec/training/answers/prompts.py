"""The recipe's own user questions: topics times templates. Text only; knows no tokenizer.

A second source, questions the target writes itself, lives in `dialogue`. Ours make sure that code, sums, lists,
rewriting, stories and extraction are all there, and that everyday short questions are, too.
"""

import random
from collections.abc import Callable, Iterator

TOPICS = """volcanoes|black holes|photosynthesis|the water cycle|vaccines|earthquakes|the human heart|sleep|memory|
dreams|climate change|solar power|wind turbines|electric cars|batteries|steam engines|the printing press|
the Roman Empire|ancient Egypt|the Silk Road|the French Revolution|the Industrial Revolution|the Cold War|
the Moon landing|the Great Wall of China|the Renaissance|democracy|taxes|inflation|supply and demand|
the stock market|budgeting|saving money|insurance|starting a small business|marketing|customer service|remote work|
job interviews|writing a resume|public speaking|teamwork|leadership|time management|procrastination|stress|
meditation|yoga|running|strength training|swimming|healthy breakfasts|vegetarian cooking|baking bread|making pasta|
green tea|coffee|chocolate|cheese|gardening|houseplants|composting|bees|whales|dolphins|octopuses|dogs|cats|birds|
dinosaurs|spiders|forests|rivers|oceans|deserts|mountains|Antarctica|Japan|Brazil|India|Kenya|Canada|Italy|Paris|
New York|London|chess|football|basketball|painting|photography|jazz|classical music|the piano|the guitar|poetry|
novels|films|theatre|architecture|bridges|aeroplanes|trains|bicycles|the internet|computer viruses|passwords|
machine learning|neural networks|robots|databases|operating systems|open source software|recursion|
sorting algorithms|encryption|quantum computers|gravity|light|sound|magnetism|atoms|the periodic table|DNA|evolution|
cells|the immune system|antibiotics|viruses|nutrition|vitamins|the brain|emotions|friendship|parenting|
learning a language|reading habits|note taking|exams|travelling alone|camping|packing a suitcase|moving house|
first aid|recycling|plastic waste"""
TEMPLATES = """What is {t}?|Tell me about {t}.|Explain {t} in simple terms.|Explain {t} to a five year old.|
Explain {t} to a student in two paragraphs.|Give me five facts about {t}.|List three interesting things about {t}.|
What are the main benefits of {t}?|What are the disadvantages of {t}?|Write a short story about {t}.|
Write a poem about {t}.|Write a haiku about {t}.|Why is {t} important?|How does {t} work?|
Give me some tips about {t}.|Write a short email to a friend about {t}.|Write a paragraph about {t}.|
Write an introduction to an article about {t}.|What should a beginner know about {t}?|
What are common myths about {t}?|Summarize the history of {t}.|Make a list of ten words related to {t}.|
Write three quiz questions about {t} with answers.|Write a dialogue between two people talking about {t}.|
Give me an outline for an essay on {t}.|Can you recommend a way to learn more about {t}?|Write a tweet about {t}.|
What is the most surprising thing about {t}?|Write step by step instructions for someone interested in {t}.|
Compare {t} and {u}.|What is the difference between {t} and {u}?|How are {t} and {u} related?|
Write a story that mentions {t} and {u}.|Which is more useful to learn about, {t} or {u}?|
Describe {t} in one sentence.|Write a short speech about {t}.|I know nothing about {t}. Where do I start?|
Who should care about {t}, and why?|Name three famous people connected with {t}.|
What questions do people often ask about {t}?|Write a product description related to {t}.|
Give the pros and cons of {t} in a table.|Write a blog post about {t}.|
Translate "I like {t}" into French and Spanish."""
CODE_TASKS = """reverses a string|checks whether a number is prime|computes the factorial of a number|
returns the nth Fibonacci number|sorts a list of numbers|finds the largest element of a list|
counts the words in a text|removes duplicates from a list|checks whether a string is a palindrome|
merges two sorted lists|computes the average of a list|reads a file line by line|converts Celsius to Fahrenheit|
counts the vowels in a string|finds the common elements of two lists|flattens a nested list|implements binary search|
implements bubble sort|implements a stack|implements a queue|implements a linked list|
computes the greatest common divisor|generates a random password|parses a date|validates an email address|
groups words by their first letter|transposes a matrix|multiplies two matrices|prints a multiplication table|
counts how often each character occurs|downloads a web page|writes a dictionary to a JSON file|
sums the even numbers in a list|rotates a list by k positions|finds the second largest number|
checks whether two words are anagrams|capitalizes every word"""
LANGUAGES = ("Python", "Python", "Python", "JavaScript", "Java", "C", "C++", "Go", "Rust", "Bash", "SQL")
CODE_TEMPLATES = """Write a {l} function that {c}.|Write a {l} program that {c}.|How do I write {l} code that {c}?|
Show me a {l} example that {c}, with comments.|Write a {l} function that {c}, and explain how it works.|
Write a {l} function that {c}. Include a short test.|Give me only the {l} code for something that {c}."""
SENTENCES = """The meeting was moved to Friday because the manager was ill.|Me and him goes to the shop yesterday.|
The food was good but the service was very slow.|We are sorry to inform you that your order has been delayed.|
She walked slowly through the old garden and thought about her childhood.|
Our new phone has a better camera and a bigger battery.|
I want to cancel my subscription because it is too expensive.|
The results of the study shows that sleep improve memory.|He did not went to school because he were sick.|
Please send me the report as soon as possible.|The company made more money this year than last year.|
It was raining, so the children stayed inside and played games.|Thank you for your help with the project last week.|
The city is building a new library near the river.|Scientists discovered a new species of frog in the rain forest.|
The train was late again and I missed my connection."""
REWRITES = """Rewrite this sentence to be more formal: {s}|Rewrite this more simply: {s}|Correct the grammar: {s}|
Make this text friendlier: {s}|Summarize this in five words: {s}|Translate into French: {s}|
Translate into Spanish: {s}|Turn this into a question: {s}|Continue this text: {s}|
Is the following sentence positive or negative? {s}|Rewrite in the passive voice: {s}|
Make this sentence longer and more vivid: {s}|Give a title for this text: {s}"""
NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kim",
    "Lucas",
    "Maria",
    "Noah",
    "Olivia",
)
PLACES = (
    "Berlin",
    "Madrid",
    "Chicago",
    "Tokyo",
    "Lagos",
    "Sydney",
    "Toronto",
    "Mumbai",
    "Lisbon",
    "Oslo",
    "Cairo",
    "Lima",
)
JOBS = ("teacher", "nurse", "engineer", "baker", "lawyer", "farmer", "designer", "pilot", "chemist", "journalist")
THINGS = ("apples", "books", "pencils", "eggs", "tickets", "marbles", "cookies", "coins", "chairs", "bottles")
EVERYDAY = """Hello!|Hi, how are you?|Who are you?|What can you do?|Tell me a joke.|Tell me a fun fact.|
What is the capital of {p}?|What should I cook tonight?|I feel sad today.|I am bored. What can I do?|
Give me a gift idea for a {j}.|Plan a weekend in {p}.|What do you know about {p}?|Write a birthday message for {n}.|
Write a thank-you note to {n}.|Help me write a cover letter for a job as a {j}.|What does a {j} do all day?|
Is it better to be a {j} or a {k}?|Write a short story about a {j} named {n} who lives in {p}.|
Write a limerick about {n} from {p}.|Suggest a name for a cat.|Write a conversation between {n} and a {j}.|
My friend {n} is moving to {p}. What should I say?|Describe a rainy day in {p}.|
Write an out-of-office message for {n}, a {j}."""


def parts(text: str) -> list[str]:
    """The entries of a `|`-separated table."""
    return [entry.strip() for entry in text.split("|")]


def about_topic(rng: random.Random) -> str:
    """A question about one topic, or about two."""
    topic, other = rng.sample(parts(TOPICS), 2)
    return rng.choice(parts(TEMPLATES)).format(t=topic, u=other)


def coding(rng: random.Random) -> str:
    """A small programming task."""
    return rng.choice(parts(CODE_TEMPLATES)).format(l=rng.choice(LANGUAGES), c=rng.choice(parts(CODE_TASKS)))


def arithmetic(rng: random.Random) -> str:
    """A sum, a word problem or an equation."""
    a, b, c = rng.randint(2, 99), rng.randint(2, 60), rng.randint(2, 12)
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    return rng.choice(
        [
            f"What is {a} + {b}?",
            f"What is {a} times {c}? Show your steps.",
            f"{name} has {a} {thing} and gives {min(a, c)} to {other}. How many are left?",
            f"A box holds {c} {thing}. How many {thing} are in {b} boxes?",
            f"Solve for x: {c}x + {b} = {a * c}.",
            f"What is {c * 5}% of {a * 10}?",
            f"A train travels {a} km in {c} hours. What is its average speed?",
            f"What is the area of a rectangle with sides {a} and {c}?",
            f"{name} earns {a} dollars an hour and works {c} hours a day. How much does {name} earn in {b} days?",
            f"List the first {c} multiples of {b}.",
        ]
    )


def rewriting(rng: random.Random) -> str:
    """A sentence to rewrite, correct, translate or shorten."""
    return rng.choice(parts(REWRITES)).format(s=rng.choice(parts(SENTENCES)))


def extraction(rng: random.Random) -> str:
    """A fact, or several, to find in a short text."""
    name, place, job, thing = rng.choice(NAMES), rng.choice(PLACES), rng.choice(JOBS), rng.choice(THINGS)
    year = rng.randint(1950, 2020)
    text = rng.choice(
        [
            f"{name} was born in {place} in {year} and became a {job}.",
            f"On 3 May {year}, {name}, a {job} from {place}, bought {rng.randint(3, 40)} {thing}.",
            f"{name} works as a {job}. In {year} the family moved to {place}, where they sell {thing}.",
        ]
    )
    return rng.choice(
        [
            f"{text} When was that?",
            f"{text} Where does {name} come from?",
            f"Extract the name, the place and the year: {text}",
            f"Extract the facts as JSON: {text}",
            f"List the people and places in this text: {text}",
            f"Answer from the text only. What is the job of {name}? {text}",
        ]
    )


def everyday(rng: random.Random) -> str:
    """Small talk and everyday help."""
    job, other = rng.sample(JOBS, 2)
    return rng.choice(parts(EVERYDAY)).format(p=rng.choice(PLACES), n=rng.choice(NAMES), j=job, k=other)


KINDS: tuple[tuple[Callable[[random.Random], str], int], ...] = (
    (about_topic, 50),
    (coding, 14),
    (arithmetic, 10),
    (rewriting, 8),
    (extraction, 8),
    (everyday, 10),
)


def questions(seed: int) -> Iterator[str]:
    """Endless questions in a reproducible order; a repeat is skipped as long as new ones are still easy to find."""
    rng = random.Random(seed)
    kinds, weights = zip(*KINDS, strict=True)
    seen: set[str] = set()
    while True:
        for _ in range(20):
            question = rng.choices(kinds, weights)[0](rng)
            if question not in seen:
                break
        seen.add(question)
        yield question
