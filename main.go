// Command skein is the video and sensor gateway of a district's camera network (雁阵): edge, gateway and recorder in one
// binary.
//
// This file and its neighbours at the root only wire: they choose which roles run in this process and what joins them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"skein/config"
)

// version is set by the build.
var version = "dev"

// commands is the table of everything this binary does.
type commands struct {
	All      allCommand      `cmd:"" help:"Run all roles in one process: edge, recorder and gateway."`
	Edge     edgeCommand     `cmd:"" help:"Run the edge role: pull cameras, record, ship, publish on demand."`
	Gateway  gatewayCommand  `cmd:"" help:"Run the gateway role: API, console, live video."`
	Recorder recorderCommand `cmd:"" help:"Run the recorder role: take segments in, index them, serve clips."`
	Demo     demoCommand     `cmd:"" help:"Run the whole of Yanfeng on this machine, simulated cameras included."`
	Sim      simCommand      `cmd:"" help:"Run simulated cameras (an RTSP server)."`
	Check    checkCommand    `cmd:"" help:"Prove the archive's invariants; repair or rebuild the index."`
	Verify   verifyCommand   `cmd:"" help:"Prove footage: a camera-day of the archive, or downloaded files."`
	User     userCommand     `cmd:"" help:"Add, change, disable and list the people who may log in."`
	Config   configCommand   `cmd:"" help:"Check or show a configuration."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// description is what the help begins with.
const description = `Camera gateway of a district (雁阵).

Begin with "skein demo", which needs nothing, or copy config/example.yaml, see whether it is good with
"skein config check --config FILE", and run it with "skein all --config FILE".

Exit code: 0 in order, 1 a mistake or a failure, 2 wrong usage; check and verify have their own, see their help.`

// withConfig is the flag all roles share.
type withConfig struct {
	Config string `required:"" short:"c" type:"path" help:"Configuration file (YAML)."`
}

func (w withConfig) load() (*config.Config, error) { return config.Load(w.Config) }

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run() error {
	fmt.Println(version)
	return nil
}

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check a configuration; exit 1 and one line for each mistake."`
	Show  configShowCommand  `cmd:"" help:"Print the configuration in force, secrets hidden."`
}

type configCheckCommand struct{ withConfig }

// Help is shown by --help.
func (configCheckCommand) Help() string {
	return `Every mistake is named, one line each: file:line:column: key: what is wrong. What may be meant but seldom is
comes as a warning. Exit code: 0 good, also with warnings; 1 a mistake.`
}

// Run checks the configuration.
func (c configCheckCommand) Run() error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	inv := cfg.District()
	fmt.Printf("%s: good: %d units, %d cameras, %d terminals, %d sensors\n", cfg.Path(), len(inv.Units),
		len(inv.Cameras), len(inv.Terminals), len(inv.Sensors))
	for _, w := range cfg.Warnings() {
		fmt.Println("warning:", w)
	}
	return nil
}

type configShowCommand struct{ withConfig }

// Run prints the configuration in force.
func (c configShowCommand) Run() error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	out, err := cfg.Show()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}

// exitCode is an error that chooses the exit code; its text may be empty.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitCode) Unwrap() error { return e.err }

func main() { os.Exit(run(os.Args[1:])) }

// run parses args, runs the command and returns the exit code: 0 in order, 1 a mistake or a failure, 2 wrong usage.
func run(args []string) int {
	var cli commands
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	parser, err := kong.New(&cli, kong.Name("skein"), kong.Description(description), kong.Vars{"version": version},
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "skein:", err)
		return 2
	}
	if len(args) == 0 {
		return help(parser)
	}
	command, err := parser.Parse(args)
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		name := strings.TrimSpace("skein " + wrong.Context.Command())
		fmt.Fprintf(os.Stderr, "skein: %v\nsee: %s --help\n", err, name)
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "skein:", err)
		return 2
	}
	err = command.Run()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		if code.err != nil {
			fmt.Fprintln(os.Stderr, "skein:", code.err)
		}
		return code.code
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// help answers who asked for nothing: with what there is to ask for.
func help(parser *kong.Kong) int {
	parser.Stdout = os.Stderr
	nothing, err := kong.Trace(parser, nil)
	if err == nil {
		err = nothing.PrintUsage(false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "skein:", err)
	}
	return 2
}
