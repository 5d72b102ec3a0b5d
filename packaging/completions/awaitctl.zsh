#compdef awaitctl
# SPDX-License-Identifier: MIT
# Completion of awaitctl for zsh. What there is to choose from awaitctl says
# itself (client/complete.c); this hands it over.

_awaitctl() {
	local -a candidates
	local line word

	for line in "${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $line in
		:file)
			compset -P '--*='
			_files
			return
			;;
		:dir)
			compset -P '--*='
			_files -/
			return
			;;
		:command)
			_command_names -e
			return
			;;
		'') ;;
		*)
			word=${line%%$'\t'*}
			if [[ $line == *$'\t'* ]]; then
				candidates+=("${word//:/\\:}:${line#*$'\t'}")
			else
				candidates+=("${word//:/\\:}")
			fi
			;;
		esac
	done
	_describe -V awaitctl candidates
}

_awaitctl "$@"
