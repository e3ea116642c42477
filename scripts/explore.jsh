///usr/bin/env jbang --interactive "$0" "$@" ; exit $?
//DESCRIPTION Try Sheaf at a prompt: JShell with all of it imported, sample rows, and a server that says them back
//DEPS ../lib/Sheaf.java
//DEPS ../lib/BatchServer.java

import static sheaf.Sheaf.*;
import sheaf.Sheaf;
import sheaf.BatchServer;

var questions = rows(
    Map.of("persona", "an experienced cook", "question", "What is the ultimate breakfast sandwich?"),
    Map.of("persona", "a maths tutor", "question", "Explain the Pythagorean theorem."),
    Map.of("persona", "a multilingual, experienced maths tutor", "question", "Explain the Pythagorean theorem in Spanish"));

// who answers: the provider that the environment names, else an echo on this machine
boolean isChosen() { try { return Provider.chosen().hasKey(); } catch (IllegalStateException none) { return false; } }

if (!isChosen()) System.setProperty("OPENAI_BASE_URL", BatchServer.local("echo").baseUrl());

println("Sheaf. Answers come from " + (Provider.chosen().isLocal() ? "an echo on this machine; SHEAF_PROVIDER or a key names a model" : Provider.chosen().name()) + ". Paste this:");
println("  batch().name(\"hello\").model(\"echo\").system(\"You are {{persona}}.\").prompts(\"{{question}}\", questions).submit().results().show()");
println("Then     batch(\"hello\")     batches().show()     models().show()     Tab completes, and a second Tab shows the Javadoc.");
println("A chain over several lines has its dots at the ends: batch(). Enter model(\"echo\"). Enter ...; a line cannot begin with one.");
println("Ctrl-C comes back to the prompt; the batch goes on, and the same line attaches to it. /exit leaves.");
