# SPDX-License-Identifier: MIT
# Completion of awaitctl for fish. What there is to choose from awaitctl says
# itself (client/complete.c); this hands it over.

function __awaitctl_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] $cur 2>/dev/null)
        switch $line
            case :file
                set -l option (string match -r -- '^--[^=]*=' $cur)
                for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $cur))
                    echo "$option"$path
                end
            case :dir
                set -l option (string match -r -- '^--[^=]*=' $cur)
                for path in (__fish_complete_directories (string replace -r -- '^--[^=]*=' '' $cur))
                    echo "$option"$path
                end
            case :command
                complete -C (commandline -ct)
            case '*'
                echo $line
        end
    end
end

complete -c awaitctl -f -k -a '(__awaitctl_complete)'
