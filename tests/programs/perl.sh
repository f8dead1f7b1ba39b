set -eu
perl -e 'my %h; for my $i (1..5000) { $h{$i % 97} += $i } print join(",", map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), "\n"; open(my $p, "-|", "ls /usr/share/perl5 | head -5") or die; print while <$p>; close $p; my $pid = fork; if (!$pid) { exit 5 } waitpid($pid, 0); print $? >> 8, "\n";'
