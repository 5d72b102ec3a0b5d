# SPDX-License-Identifier: MIT
# Completion of awaitctl for bash. What there is to choose from awaitctl says
# itself (client/complete.c); this hands it over.

_awaitctl()
{
	local IFS=$' \t\n' words=() behind='' line i
	COMPREPLY=()

	# bash takes --state=x apart at the "=".
	for ((i = 1; i <= COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == '=' && ${#words[@]} -gt 0 ]]; then
			words[-1]+='='
			if ((i < COMP_CWORD)); then
				i=$((i + 1))
				words[-1]+=${COMP_WORDS[i]}
			fi
		else
			words+=("${COMP_WORDS[i]}")
		fi
	done
	local cur=${words[-1]-}
	[[ $cur == --*=* ]] && behind=${cur%%=*}=

	while IFS= read -r line; do
		case $line in
		:file) mapfile -t COMPREPLY < <(compgen -f -- "${cur#"$behind"}") ;;
		:dir) mapfile -t COMPREPLY < <(compgen -d -- "${cur#"$behind"}") ;;
		:command) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$behind"}")
			;;
		esac
	done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
	[[ $line == :* ]] && compopt -o filenames 2>/dev/null
	return 0
}

complete -F _awaitctl awaitctl
