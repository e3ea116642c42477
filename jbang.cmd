@echo off
rem Runs JBang on Windows, as ./jbang does elsewhere: an installed one if there is one, else a pinned one, fetched once.
setlocal EnableExtensions DisableDelayedExpansion
set "jb_version=0.132.1"
set "jb_sha256=f977075849cff866f45b27997f5671ab8a336a5dd3cf9e702b3479128338f3a7"
set "jb_home=%JBANG_DIR%"
if "%jb_home%"=="" set "jb_home=%USERPROFILE%\.jbang"
set "jb_folder=%~dp0.jbang"
set "jb_jar=%jb_folder%\jbang-cli-%jb_version%-all.jar"
set "jb_file=%~dp0jbang-catalog.json"

rem An alias of ours is looked up in our catalog, from any folder. A file of that name, or an alias in a catalog of the
rem folder where the user stands, goes first, as JBang has it.
set "jb_catalog="
set "jb_alias="
if not exist "%jb_file%" goto :find
if "%~1"=="" goto :list
for /f "tokens=1 delims=:{ " %%A in ('findstr /r /c:"^    .[a-z].*: {" "%jb_file%"') do if "%~1"==%%A set "jb_alias=%~1"
if not defined jb_alias goto :find
if exist "%jb_alias%" if not exist "%jb_alias%\" goto :find
set "jb_dir=%CD%"
:up
for %%F in ("%jb_dir%\jbang-catalog.json" "%jb_dir%\.jbang\jbang-catalog.json") do (
    findstr /l /c:"\"%jb_alias%\":" %%F >nul 2>nul && goto :find
)
for %%D in ("%jb_dir%\..") do set "jb_up=%%~fD"
if /i not "%jb_up%"=="%jb_dir%" set "jb_dir=%jb_up%" & goto :up
findstr /l /c:"\"%jb_alias%\":" "%jb_home%\jbang-catalog.json" >nul 2>nul && goto :find
set jb_catalog=--catalog "%jb_file%"
:find

rem 1. An installed JBang. This file may be on the PATH too, and must not find itself.
for /f "delims=" %%I in ('where jbang.cmd jbang.exe 2^>nul') do (
    if /i not "%%~fI"=="%~f0" set "jb_installed=%%~fI" & goto :installed
)
if not exist "%jb_home%\bin\jbang.cmd" goto :jdk
set "jb_installed=%jb_home%\bin\jbang.cmd"
:installed
endlocal & "%jb_installed%" %jb_catalog% %*
exit /b %ERRORLEVEL%

rem A JDK, not just a Java: JBang compiles. A JAVA_HOME without one would mislead it.
:jdk
if not "%JAVA_HOME%"=="" if exist "%JAVA_HOME%\bin\javac.exe" set "jb_java=%JAVA_HOME%\bin\java.exe" & goto :jar
set "JAVA_HOME="
for /f "delims=" %%I in ('where javac.exe 2^>nul') do set "jb_java=%%~dpIjava.exe" & goto :jar
if not exist "%jb_home%\currentjdk\bin\javac.exe" goto :installer
set "jb_java=%jb_home%\currentjdk\bin\java.exe"

rem 2. JBang's jar by Maven: from an empty folder, where no pom.xml has a say, and without the stdin of the script.
:jar
if exist "%jb_jar%" goto :run
where mvn >nul 2>nul || goto :installer
echo fetching JBang %jb_version% ... 1>&2
set "jb_temp=%jb_folder%\fetch.%RANDOM%%RANDOM%"
mkdir "%jb_temp%" || exit /b 1
pushd "%jb_temp%"
call mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy ^
    "-Dartifact=dev.jbang:jbang-cli:%jb_version%:jar:all" "-DoutputDirectory=." <nul >log 2>&1
if errorlevel 1 type log 1>&2
set "jb_sum="
for %%J in (*.jar) do for /f "skip=1 delims=" %%S in ('certutil -hashfile "%%J" SHA256') do (
    if not defined jb_sum set "jb_sum=%%S"
)
if defined jb_sum set "jb_sum=%jb_sum: =%"
if /i "%jb_sum%"=="%jb_sha256%" move /y *.jar "%jb_jar%" >nul
popd
rmdir /s /q "%jb_temp%"
if exist "%jb_jar%" goto :run
if not defined jb_sum goto :installer
echo jbang: not run: what Maven fetched is not JBang %jb_version% (SHA-256 %jb_sum%) 1>&2
exit /b 1

rem 3. JBang by its own installer, into its own folder, with a JDK if there is none.
:installer
echo installing JBang %jb_version% in %jb_home% ... 1>&2
set "JBANG_DOWNLOAD_VERSION=%jb_version%"
powershell -NoProfile -ExecutionPolicy Bypass -NonInteractive -Command ^
    "& ([scriptblock]::Create((iwr -useb https://ps.jbang.dev))) version" <nul >nul
set "jb_installed=%jb_home%\bin\jbang.cmd"
if exist "%jb_installed%" goto :installed
echo jbang: found no JBang and could not fetch it; see https://www.jbang.dev 1>&2
exit /b 1

rem JBang does what it can itself; a program it leaves to us: exit code 255 and a command line, quoted for cmd.
:run
set "JBANG_RUNTIME_SHELL=cmd"
set "JBANG_LAUNCH_CMD=%~f0"
2>nul >nul timeout /t 0 && (set "JBANG_STDIN_NOTTY=false") || (set "JBANG_STDIN_NOTTY=true")
set "jb_output=%TEMP%\jbang.%RANDOM%%RANDOM%.tmp"
"%jb_java%" %JBANG_JAVA_OPTIONS% -jar "%jb_jar%" %jb_catalog% %* >"%jb_output%"
set "jb_status=%ERRORLEVEL%"
set "jb_command="
if "%jb_status%"=="255" (
    for /f "usebackq delims=" %%L in ("%jb_output%") do if not defined jb_command set "jb_command=%%L"
) else type "%jb_output%"
del /f /q "%jb_output%"
if not defined jb_command exit /b %jb_status%
%jb_command%
exit /b %ERRORLEVEL%

rem Without a word: what there is to run, each name above its description.
:list
echo Usage: jbang NAME [ARG]...
for /f "tokens=1,* delims=:" %%A in ('findstr /r /c:"^    .[a-z].*: {" /c:"^      .description" /c:"^  .templates" "%jb_file%"') do (
    for %%N in (%%A) do (
        if %%N=="templates" goto :listed
        if %%N=="description" (echo       %%B) else (echo   %%~N)
    )
)
:listed
echo jbang NAME --help says more of one; jbang --help is JBang's own.
exit /b 0
