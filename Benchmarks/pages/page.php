<?php
// What an application's page does, without an application: objects, arrays, templates, text, a little of each.

declare(strict_types=1);

final class Article
{
    /** @param list<string> $tags */
    public function __construct(
        public readonly int $id,
        public readonly string $title,
        public readonly string $text,
        public readonly array $tags,
        public readonly DateTimeImmutable $published,
    ) {
    }
}

final class Catalogue
{
    /** @return list<Article> */
    public function latest(int $count): array
    {
        $articles = [];
        $day = new DateTimeImmutable('2024-01-01');
        for ($id = 1; $id <= $count; $id++) {
            $articles[] = new Article(
                $id,
                sprintf('Article %d: %s', $id, ucwords(strrev("number $id"))),
                str_repeat("Paragraph $id of <text> & more. ", 12),
                array_map(static fn (int $n): string => 'tag-' . ($id * $n) % 17, range(1, 5)),
                $day->modify("+$id days"),
            );
        }
        usort($articles, static fn (Article $a, Article $b): int => $b->published <=> $a->published);
        return $articles;
    }
}

function render(Article $article): string
{
    $tags = implode(', ', array_map(htmlspecialchars(...), array_unique($article->tags)));
    $text = preg_replace('/\b(\w{6,})\b/', '<em>$1</em>', htmlspecialchars($article->text));
    return "<article id=\"a{$article->id}\"><h2>" . htmlspecialchars($article->title) . "</h2>"
        . "<time>{$article->published->format(DATE_ATOM)}</time><p>$text</p><p>$tags</p></article>\n";
}

$counts = [];
$body = '';
foreach ((new Catalogue())->latest(60) as $article) {
    foreach ($article->tags as $tag) {
        $counts[$tag] = ($counts[$tag] ?? 0) + 1;
    }
    $body .= render($article);
}
arsort($counts);
header('Content-Type: text/html; charset=utf-8');
echo "<!doctype html><title>Articles</title>$body<script>", json_encode($counts), '</script>',
    '<footer>', md5($body), '</footer>';
