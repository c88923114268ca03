<?php
// gc.php - the collector's workloads (see gc_work.h) on PHP. PHP has no clock for
// one thread, but the process has only one: user and system time of getrusage.

final class Node
{
    public ?Node $a = null;
    public ?Node $b = null;
    public ?Node $c = null;
}

ini_set('memory_limit', '-1');
$quick = !in_array(getenv('QUICK'), [false, '', '0'], true);
$root = null;
$seed = 88172645463325252;

function now(): float
{
    $u = getrusage();
    return ($u['ru_utime.tv_sec'] + $u['ru_stime.tv_sec']) * 1e9
        + ($u['ru_utime.tv_usec'] + $u['ru_stime.tv_usec']) * 1e3;
}

function put(string $row, string $unit, float $value): void
{
    printf("%s %s %.4f\n", $row, $unit, $value);
}

function count_of(int $full): int
{
    return $GLOBALS['quick'] ? max(10, intdiv($full, 50)) : $full;
}

function repeats(int $full): int
{
    return $GLOBALS['quick'] ? 1 : $full;
}

function median(array $values): float
{
    sort($values);
    return $values[intdiv(count($values), 2)];
}

function must(bool $condition, string $what): void
{
    if (!$condition) {
        fwrite(STDERR, "bench: not so: $what\n");
        exit(1);
    }
}

function ring(int $n): Node
{
    $head = $last = new Node;
    for ($i = 1; $i < $n; $i++) {
        $node = new Node;
        $node->b = $last;
        $last->a = $node;
        $last = $node;
    }
    $last->a = $head;
    $head->b = $last;
    return $head;
}

function shuffled_ring(int $n): Node
{
    $nodes = [];
    for ($i = 0; $i < $n; $i++) $nodes[] = new Node;
    mt_srand(1);
    shuffle($nodes);
    for ($i = 0; $i < $n; $i++) {
        $nodes[$i]->a = $nodes[($i + 1) % $n];
        $nodes[$i]->b = $nodes[($i + $n - 1) % $n];
    }
    return $nodes[0];
}

function garbage_pairs(int $n): void
{
    for ($i = 0; $i < $n; $i++) {
        $x = new Node;
        $y = new Node;
        $x->a = $y;
        $y->a = $x;
    }
    unset($x, $y);
}

function run_ring(string $row, callable $make): void
{
    global $root;
    $n = count_of(1000000);
    $times = [];
    gc_disable();
    for ($r = 0; $r < repeats(3); $r++) {
        $root = $make($n);
        gc_collect_cycles();
        $begin = now();
        $root = null;
        $found = gc_collect_cycles();
        $times[] = (now() - $begin) / $n;
        must($found >= $n, 'the ring is gone');
    }
    put($row, 'ns/object', median($times));
}

function run_ring_again(): void
{
    global $root;
    $n = count_of(1000000);
    $times = [];
    gc_disable();
    for ($r = 0; $r < repeats(5); $r++) {
        $begin = now();
        $root = ring($n);
        $root = null;
        must(gc_collect_cycles() >= $n, 'the ring is gone');
        $times[] = (now() - $begin) / $n;
    }
    put('a_rebuilt', 'ns/object', median($times));
}

function run_pairs(): void
{
    $n = count_of(1000000);
    $times = [];
    gc_enable();
    for ($r = 0; $r < repeats(3); $r++) {
        $begin = now();
        garbage_pairs($n);
        gc_collect_cycles();
        $times[] = (now() - $begin) / (2 * $n);
    }
    put('b', 'ns/object', median($times));
}

function run_pairs_at_once(): void
{
    $n = count_of(1000000);
    $times = [];
    gc_disable();
    for ($r = 0; $r < repeats(3); $r++) {
        garbage_pairs($n);
        $begin = now();
        $found = gc_collect_cycles();
        $times[] = (now() - $begin) / (2 * $n);
        must($found >= 2 * $n, 'the pairs are gone');
    }
    put('b1', 'ns/object', median($times));
}

function timed_collection(): float
{
    $begin = now();
    gc_collect_cycles();
    return (now() - $begin) / 1e3;
}

function run_old_heap(): void
{
    global $root;
    $young = $full = $clean = $idle = [];
    gc_disable();
    $root = ring(count_of(2000000));
    gc_collect_cycles();
    for ($r = 0; $r < repeats(7); $r++) {
        garbage_pairs(1000);
        $clean[] = timed_collection();
        $idle[] = timed_collection();
        garbage_pairs(1000);
        $root->c = $root->a;
        $root->c = null;
        $full[] = timed_collection();
        garbage_pairs(1000);
        $young[] = timed_collection(); // it has one kind
    }
    put('c_young', 'us', median($young));
    put('c_full', 'us', median($full));
    put('c_clean', 'us', median($clean));
    put('c_idle', 'us', median($idle));
}

function tree(int $depth, ?Node $parent): Node
{
    $node = new Node;
    $node->c = $parent;
    if ($depth > 0) {
        $node->a = tree($depth - 1, $node);
        $node->b = tree($depth - 1, $node);
    }
    return $node;
}

function run_trees(): void
{
    global $root, $quick;
    $depth = $quick ? 8 : 16;
    gc_enable();
    $begin = now();
    $made = (1 << ($depth + 2)) + (1 << ($depth + 1)) - 2;
    tree($depth + 1, null);
    $root = tree($depth, null);
    for ($d = 4; $d <= $depth; $d += 4) {
        $trees = 1 << ($depth - $d + 4);
        for ($i = 0; $i < $trees; $i++) tree($d, null);
        $made += $trees * ((1 << ($d + 1)) - 1);
    }
    $root = null;
    gc_collect_cycles();
    put('d', 'ns/object', (now() - $begin) / $made);
}

function run_list(): void
{
    global $root;
    $n = count_of(5000000);
    gc_disable();
    for ($i = 0; $i < $n; $i++) {
        $node = new Node;
        $node->a = $root;
        $root = $node;
    }
    unset($node);
    $begin = now();
    $root = null;
    put('e', 'ns/object', (now() - $begin) / $n);
    put('e_first', 'us', (now() - $begin) / 1e3);
}

function run_steady(): void
{
    $size = count_of(125000);
    $steps = count_of(1000000);
    mt_srand(1);
    gc_disable();
    $roots = [];
    for ($i = 0; $i < $size; $i++) $roots[] = ring(8);
    for ($i = 0; $i < $size; $i++) $roots[$i]->c = $roots[mt_rand(0, $size - 1)];
    gc_collect_cycles();
    gc_enable();
    $begin = now();
    for ($done = 0; $done < $steps; $done++) {
        if ($done % 100 == 0 && now() - $begin > 3e9) break;
        $fresh = ring(8);
        $fresh->c = $roots[mt_rand(0, $size - 1)];
        $roots[mt_rand(0, $size - 1)] = $fresh;
        for ($k = 0; $k < 8; $k++)
            $roots[mt_rand(0, $size - 1)]->c = $roots[mt_rand(0, $size - 1)];
    }
    put('f', 'ns/step', (now() - $begin) / $done);
}

switch ($argv[1] ?? '') {
    case 'a': run_ring('a', 'ring'); break;
    case 'A': run_ring('A', 'shuffled_ring'); break;
    case 'again': run_ring_again(); break;
    case 'b': run_pairs(); break;
    case 'b1': run_pairs_at_once(); break;
    case 'c': run_old_heap(); break;
    case 'd': run_trees(); break;
    case 'e': run_list(); break;
    case 'f': run_steady(); break;
    default: must(false, 'usage: gc.php a|A|again|b|b1|c|d|e|f');
}
