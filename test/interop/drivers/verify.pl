# Answers each token on the standard input with what the guide's code makes of it.
use strict;
use warnings;
use JSON::PP qw(decode_json encode_json);
use CardeaTokens;

$| = 1;
while (my $line = <STDIN>) {
    my ($claims, $kid) = eval { CardeaTokens::verify(decode_json($line)->{token}) };
    my $answer =
        $claims                             ? { claims => $claims, kid => $kid }
      : $@ eq "keys unavailable\n" ? { unavailable => JSON::PP::true }
      :                                       { refused => "$@" };
    print encode_json($answer), "\n";
}
