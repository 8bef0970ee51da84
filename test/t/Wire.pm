# Wire.pm - many executions of a prepared statement over one connection, with
# any bytes as parameters: psql cannot send binary ones, nor survive an error in
# the middle of many. PostgreSQL's protocol 3.0 as far as that needs it.
package Wire;

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::UNIX;

# A connection to a TAP node as its superuser.
sub new
{
	my ($class, $node, $database) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Peer => $path) or die "connect to $path: $!";
	my $self = bless { socket => $socket, in => '' }, $class;
	$socket->blocking(0);
	my $user = getpwuid($<);
	my $body = pack('N', 196608) . "user\0$user\0database\0$database\0client_encoding\0UTF8\0\0";
	$self->exchange(pack('N', 4 + length $body) . $body, 1, sub { });
	return $self;
}

sub message
{
	my ($type, $body) = @_;
	return $type . pack('N', 4 + length $body) . $body;
}

# Sends bytes while reading what comes, until the server was ready `count` times;
# hands (type, body) of every message to on_message. Both at once, because a
# server whose answers nobody reads stops reading itself.
sub exchange
{
	my ($self, $out, $count, $on_message) = @_;
	my $select = IO::Select->new($self->{socket});
	my $sent = 0;
	while ($count > 0)
	{
		my ($readable, $writable) = IO::Select->select($select, $sent < length $out ? $select : undef, undef, 180);
		die "the server does not answer\n" if !defined $readable;
		if (@$writable)
		{
			my $n = $self->{socket}->syswrite($out, 65536, $sent);
			die "write: $!\n" if !defined $n && !$!{EAGAIN} && !$!{EWOULDBLOCK} && !$!{EINTR};
			$sent += $n // 0;
		}
		next if !@$readable;
		my $n = $self->{socket}->sysread($self->{in}, 65536, length $self->{in});
		die "the server closed the connection\n" if defined $n && $n == 0;
		die "read: $!\n" if !defined $n && !$!{EAGAIN} && !$!{EWOULDBLOCK} && !$!{EINTR};
		my $at = 0;
		while (length($self->{in}) - $at >= 5)
		{
			my ($type, $length) = unpack('aN', substr($self->{in}, $at, 5));
			last if length($self->{in}) - $at < 1 + $length;
			my $body = substr($self->{in}, $at + 5, $length - 4);
			$at += 1 + $length;
			die 'refused: ' . join(' ', split /\0/, $body) . "\n" if $type eq 'E' && $body =~ /^SFATAL|^SPANIC/;
			$on_message->($type, $body);
			$count-- if $type eq 'Z';
		}
		substr($self->{in}, 0, $at) = '';
	}
	return;
}

# Makes a statement the one to be run; types: the parameters' OIDs.
sub prepare
{
	my ($self, $sql, @types) = @_;
	my $body = "\0$sql\0" . pack('n', scalar @types) . pack('N*', @types);
	my $error;
	$self->exchange(message('P', $body) . message('S', ''), 1,
		sub { $error = fields($_[1]) if $_[0] eq 'E' });
	die "prepare $sql: $error->{M}\n" if $error;
	return;
}

# Runs it once for each list of parameters [format, value], format 0 for text, 1
# for binary. Each result: { row => [columns] }, the first one as text, the
# others binary; or { state, message }.
sub run
{
	my ($self, @inputs) = @_;
	my $out = '';
	for my $input (@inputs)
	{
		my $bind = "\0\0" . pack('n*', scalar @$input, map { $_->[0] } @$input) . pack('n', scalar @$input);
		$bind .= pack('N', length $_->[1]) . $_->[1] for @$input;
		$out .= message('B', $bind . pack('nnn', 2, 0, 1)) . message('E', "\0" . pack('N', 0)) . message('S', '');
	}
	my (@results, %result);
	$self->exchange($out, scalar @inputs, sub {
		my ($type, $body) = @_;
		if ($type eq 'D')
		{
			my ($count, @columns) = unpack('n(N/a)*', $body);
			$result{row} = \@columns;
		}
		elsif ($type eq 'E')
		{
			my $error = fields($body);
			@result{qw(state message)} = @$error{qw(C M)};
		}
		elsif ($type eq 'Z')
		{
			push @results, {%result};
			%result = ();
		}
	});
	return @results;
}

# The fields of an error message, by their letter.
sub fields
{
	my ($body) = @_;
	return { map { (substr($_, 0, 1), substr($_, 1)) } grep { length } split /\0/, $body };
}

1;
