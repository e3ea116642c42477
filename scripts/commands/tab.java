///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Print what lets Tab complete commands and options, in bash and zsh: eval "$(./jbang tab)"
// a life of half a second has no use for the second compiler
//RUNTIME_OPTIONS -XX:TieredStopAtLevel=1 -XX:+NeverActAsServerClassMachine
//SOURCES ../../lib/Sheaf.java
//SOURCES ask.java
//SOURCES clean.java
//SOURCES steps.java
//DEPS info.picocli:picocli:4.7.7

package sheaf.commands;

import static sheaf.Sheaf.*;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

class tab {
    /** Names are those of the catalog in sight; a script not known here, or a room of it, has its options in quotes. */
    private static final String SCRIPT = """
        # Lets Tab complete Sheaf's commands, their options and files. For this shell: eval "$(./jbang tab)"
        # For each new one:  ./jbang tab > ~/.sheaf-tab; echo '. ~/.sheaf-tab' >> ~/.bashrc    (zsh: ~/.zshrc)
        [ -z "$ZSH_VERSION" ] || { autoload -U +X compinit bashcompinit && compinit -u && bashcompinit; }

        _sheaf() {
          local command=${COMP_WORDS[0]##*/} word=${COMP_WORDS[COMP_CWORD]} dir=$PWD words= catalog script rooms i
          while [ -n "$dir" ] && [ ! -f "$dir/jbang-catalog.json" ]; do dir=${dir%/*}; done
          catalog=$(cat "$dir/jbang-catalog.json" 2>/dev/null | tr -s '[:space:]' ' ')
          [ "$command" != jbang ] || command=
          for ((i = 1; i < COMP_CWORD && ${#command} == 0; i++)); do
            case ${COMP_WORDS[i]} in -*|run) ;; *) command=${COMP_WORDS[i]} ;; esac
          done
          case $command in
            '') words=$(echo "$catalog" | grep -o '"[^"]*": { "script-ref"' | cut -d'"' -f2)
              [ -n "$ZSH_VERSION" ] || ! declare -F _complete_jbang >/dev/null ||
                { _complete_jbang; words="$words ${COMPREPLY[*]}"; compopt -o default; } ;;
        OPTIONS
            *) script=$dir/$(echo "$catalog" | grep -o "\\"$command\\": { \\"script-ref\\": \\"[^\\"]*" | sed 's/.*"//')
              rooms=$(sed -n 's,^//SOURCES \\([a-z]*/\\),\\1,p' "$script" 2>/dev/null)
              words=$(cd "${script%/*}" && grep -oh '"--[a-z][a-z-]*' "${script##*/}" $(echo "$rooms") 2>/dev/null)
              words=$(echo "$words" | tr -d '"' | sort -u)
              ! grep -q '[.]options(args)' "$script" 2>/dev/null || words="$words RECIPE" ;;
          esac
          [ -n "$words$ZSH_VERSION" ] || ! declare -F _complete_jbang >/dev/null || { _complete_jbang; return; }
          [ -z "$command" ] || [ "${word#-}" != "$word" ] || words=
          [ "${COMP_WORDS[COMP_CWORD-1]}" != --provider ] || words='PROVIDERS'
          [ "${COMP_WORDS[COMP_CWORD-1]}" != --engine ] || words='ENGINES'
          COMPREPLY=($(compgen -W "$words" -- "$word"))
        }

        complete -o default -F _sheaf jbang
        for _sheaf in COMMANDS; do
          [ ! -x "${JBANG_DIR:-$HOME/.jbang}/bin/$_sheaf" ] || complete -o default -F _sheaf $_sheaf
        done
        unset -v _sheaf
        """;
    private static final List<String> RECIPE = List.of("--provider", "--share", "--fallback", "--engine", "--model",
        "--system", "--template", "--data", "--separator", "--charset", "--header", "--limit", "--name",
        "--max-tokens", "--temperature",
        "--with", "--choice", "--returning", "--confidence", "--distinct", "--price", "--budget", "--repair",
        "--resend-missing", "--out", "--force", "--quiet", "--preview", "--estimate", "--sample", "--help");
    private static final String ENGINES = "ollama lmstudio vllm llama-server openrouter mistral cerebras";
    private static final List<Provider> PROVIDERS = List.of(Provider.OPENAI, Provider.GROQ, Provider.NEBIUS,
        Provider.PARASAIL, Provider.DOUBLEWORD, Provider.DEEPINFRA, Provider.TOGETHER, Provider.KLUSTER,
        Provider.LOCAL);

    public static void main(String... args) { System.exit(run(args)); }

    static int run(String... args) {
        if (args.length > 0) {
            boolean asked = args[0].matches("-h|--help");
            (asked ? System.out : System.err).println("tab: takes no argument; run eval \"$(./jbang tab)\", and Tab "
                + "completes names, options and files; its first lines say how to keep it");
            return asked ? 0 : 2;
        }
        var commands = commands();
        System.out.print(SCRIPT
            .replace("OPTIONS", commands.keySet().stream().map(name -> "    " + name + ") words='"
                + options(commands.get(name)) + "' ;;").collect(Collectors.joining("\n")))
            .replace("RECIPE", String.join(" ", RECIPE))
            .replace("ENGINES", ENGINES)
            .replace("PROVIDERS", PROVIDERS.stream().map(Provider::name).collect(Collectors.joining(" ")))
            .replace("COMMANDS", String.join(" ", commands.keySet())));
        return 0;
    }

    /** The commands that picocli knows, by the names of their aliases. */
    private static Map<String, CommandLine> commands() {
        var commands = new TreeMap<String, CommandLine>(new CommandLine(new steps()).getSubcommands());
        Stream.of(new ask(stream -> false), new clean()).map(CommandLine::new)
            .forEach(command -> commands.put(command.getCommandName(), command));
        return commands;
    }

    private static String options(CommandLine command) {
        return command.getCommandSpec().options().stream().map(OptionSpec::longestName)
            .collect(Collectors.joining(" "));
    }
}
