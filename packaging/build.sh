# SPDX-License-Identifier: MIT
# Building from the scripts of this folder (sourced; $top is the source folder).

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

now_ms() {
	date +%s%3N
}

# Milliseconds as seconds: 3.02
seconds() {
	printf '%d.%02d' $(($1 / 1000)) $(($1 % 1000 / 10))
}

n_cpus() {
	nproc 2>/dev/null || echo 1
}

# A step that takes long: what it prints goes to the file $log, and is shown
# when it fails.
quietly() {
	quietly_what=$1
	shift
	quietly_began=$(now_ms)
	printf '%s ... ' "$quietly_what"
	if "$@" >>"$log" 2>&1 </dev/null; then
		say "$(seconds $(($(now_ms) - quietly_began))) s"
		return 0
	fi
	say "failed"
	tail -n 40 "$log"
	say "(all of it: $log)"
	return 1
}

# Make $top/configure if there is none, or it is out of date. A release has one.
make_configure() {
	if [ -x "$top/configure" ] && [ -f "$top/Makefile.in" ] &&
		[ -z "$(cd "$top" && find configure.ac Makefile.am -newer configure)" ]; then
		return 0
	fi
	[ -w "$top" ] || die "cannot write to $top, where configure is to be made"
	quietly "autogen.sh" sh "$top/autogen.sh"
}

# configure_in FOLDER OPTION...: unless it was done there with the same options.
configure_in() {
	configure_dir=$1
	shift
	mkdir -p "$configure_dir"
	if [ -x "$configure_dir/config.status" ] && [ -f "$configure_dir/Makefile" ] &&
		[ "$(cat "$configure_dir/configured-with" 2>/dev/null)" = "$*" ] &&
		[ "$configure_dir/config.status" -nt "$top/configure" ]; then
		return 0
	fi
	(cd "$configure_dir" && quietly "configure${1:+ $*}" "$top/configure" "$@") || return 1
	printf '%s' "$*" >"$configure_dir/configured-with"
}

# The path of a program that was built in $1.
built() {
	for built_path in "$1/$2" "$1/daemon/$2" "$1/client/$2" "$1/daemon/supervisor/$2"; do
		if [ -x "$built_path" ] && [ -f "$built_path" ]; then
			printf '%s\n' "$built_path"
			return 0
		fi
	done
	die "$2 was not built in $1"
}

# Copy the sources to the new folder $1, without what was built among them.
copy_sources() {
	rm -rf "$1"
	mkdir -p "$1"
	(cd "$top" && tar -cf - --exclude=./.git --exclude=./_build --exclude='*.o' \
		--exclude='*.a' --exclude=./config.status --exclude=./config.log \
		--exclude=./config.h --exclude=./stamp-h1 --exclude=.deps --exclude=.dirstamp \
		--exclude=./Makefile .) | (cd "$1" && tar -xf -)
}

# A tree that is configured in place cannot be built elsewhere as well: then
# give a copy of its sources, made in $1, else the tree itself.
source_tree() {
	if [ ! -f "$top/config.status" ]; then
		printf '%s\n' "$top"
		return 0
	fi
	copy_sources "$1"
	printf '%s\n' "$1"
}
