"""A paragraph in each of many languages, written for these tests."""

SAMPLES = {
    "French": "La réunion a été reportée à jeudi, parce que l'équipe n'était pas prête. François a préféré "
    "prévenir tout le monde dès hier, ce qui était très gentil : où serions-nous allés sans être "
    "prévenus ?",
    "Portuguese": "A reunião não começou às três, porque o avião chegou atrasado. É preciso avisar também os "
    "colegas de São Paulo: são três pessoas, e a informação ainda não lhes foi dada. Até amanhã, "
    "João.",
    "German": "Der Fluß über die Brücke fließt für müde Wanderer. Schöne Grüße aus Köln, wo es heute früh "
    "geregnet hat und die Straßen naß sind; später könnte es noch ärger werden, heißt es.",
    "Spanish": "Mañana por la mañana el señor Núñez llegará más tarde; según él, el avión salió con retraso. "
    "¿Cuándo empezará la reunión? Nadie lo sabía aún, pero el año próximo será distinto.",
    "Italian": "La città è più bella di notte, perché le luci si riflettono nel fiume. Però così non si può "
    "andare avanti: la verità è che già ieri non c'era più nessuno.",
    "Swedish": "Mötet börjar på måndag klockan nio, även om några av oss är försenade. Vi får åka båt över sjön "
    "och äta på ön, för där är det både vackert och lugnt.",
    "Polish": "Zażółć gęślą jaźń. Dzisiaj jest piękny dzień i świeci słońce nad Wisłą, więc pójdziemy się "
    "przejść. Później zjemy coś ciepłego, bo wieczór może być już chłodny, a ścieżka jest długa.",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je krásný den a svítí slunce, takže půjdeme na "
    "procházku. Večer se vrátíme domů, protože už bude chladno a cesta je dlouhá.",
    "Hungarian": "Az értekezlet kilenckor kezdődik, de néhányan késni fognak. Jöjjön időben, mert különben nem "
    "lesz hely; a tegnapi eső miatt az utak még nedvesek, ezért óvatosan vezessen.",
    "Russian": "Почему небо голубое? Это вопрос для любопытного ребёнка, но ответить на него не так просто. "
    "Свет рассеивается в воздухе, и короткие волны рассеиваются сильнее, чем длинные.",
    "Ukrainian": "Чому небо блакитне? Це запитання для допитливої дитини, але відповісти на нього не так легко. "
    "Світло розсіюється в повітрі, і короткі хвилі розсіюються сильніше, ніж довгі.",
    "Greek": "Γιατί είναι ο ουρανός γαλανός; Είναι μια ερώτηση για ένα περίεργο παιδί, αλλά η απάντηση δεν "
    "είναι τόσο απλή. Το φως διαχέεται στον αέρα, και τα μικρά κύματα περισσότερο από τα μεγάλα.",
    "Turkish": "Gökyüzü neden mavidir? Bu, meraklı bir çocuğun sorusudur, ama cevabı o kadar kolay değildir. "
    "Işık havada dağılır ve kısa dalgalar uzun dalgalardan daha güçlü dağılır; akşamları ise güneş "
    "kızıl görünür.",
    "Hebrew": "מדוע השמיים כחולים? זו שאלה של ילד סקרן, אבל התשובה אינה כל כך פשוטה. האור מתפזר באוויר, והגלים "
    "הקצרים מתפזרים יותר מן הארוכים.",
    "Arabic": "لماذا السماء زرقاء؟ هذا سؤال طفل فضولي، ولكن الجواب ليس سهلا. يتشتت الضوء في الهواء، وتتشتت "
    "الموجات القصيرة أكثر من الموجات الطويلة.",
    "Chinese": "天空为什么是蓝色的？这是一个好奇的孩子提出的问题，但是回答起来并不那么容易。光线在空气中散射，短"
    "波比长波散射得更厉害，所以我们看到的是蓝色。傍晚的时候，太阳看起来是红色的，因为光线要穿过更多的"
    "空气。",
    "Taiwan": "天空為什麼是藍色的？這是一個好奇的孩子提出的問題，但是回答起來並不那麼容易。光線在空氣中散射，短"
    "波比長波散射得更厲害，所以我們看到的是藍色。傍晚的時候，太陽看起來是紅色的，因為光線要穿過更多的"
    "空氣。",
    "Japanese": "空はなぜ青いのでしょうか。これは好奇心の強い子どもの質問ですが、答えるのはそれほど簡単ではありま"
    "せん。光は空気の中で散乱し、短い波は長い波よりも強く散乱されるため、私たちには青く見えるのです。",
    "Korean": "하늘은 왜 파란가요? 이것은 호기심 많은 아이의 질문이지만 대답하기는 그리 쉽지 않습니다. 빛은 "
    "공기 중에서 흩어지며, 짧은 파장은 긴 파장보다 더 강하게 흩어지기 때문에 우리 눈에는 파랗게 "
    "보입니다.",
}
