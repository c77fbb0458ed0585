package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// app is one run of the command line: where it reads and writes, and the
// values of the common flags.
type app struct {
	in        io.Reader
	out, errw io.Writer
	getenv    func(string) string

	lang     Lang
	langFlag string
	home     home
	api      string
	ca       string
	key      string
	readKey  string
	outPath  string
	timeout  time.Duration
	json     bool
}

// Main runs the command line of the process and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	a := &app{in: os.Stdin, out: os.Stdout, errw: os.Stderr, getenv: os.Getenv}
	return a.main(ctx, os.Args[1:])
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errw)
	cmd, err := root.ExecuteContextC(ctx)
	code, quiet := exitCode(err)
	if !quiet {
		fmt.Fprintf(a.errw, "错误 · error: %v\n", err)
		if code == exitUsage && cmd != nil {
			fmt.Fprintf(a.errw, "帮助 · help: %s --help\n", cmd.CommandPath())
		}
	}
	return code
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "qifeng",
		Short: "骑缝：联盟链电子证据保全节点 · evidence preservation on a consortium chain",
		Long: `骑缝把合同摘要、身份核验记录与签署行为记录保全到公证、法院、仲裁与平台共同维护的联盟链，
并给出可离线验证的证明文件。原文从不离开本机，只上传摘要。

Qifeng preserves digests of contracts, identity checks and signing actions on a chain kept by
notary, court, arbitration and vendor together, and gives proofs that verify offline. The
originals never leave this machine; only digests are sent.

退出码 · exit codes: 0 完成或已证明 done, proved; 1 失败或虚假 failed, false; 2 用法或输入不可读
usage, unreadable input; 3 一致但未证明、未就绪 consistent but not proved, not ready.`,
		Example: example("qifeng devnet", "qifeng submit contract.pdf --home devnet/vendor-a --wait",
			"qifeng verify contract.pdf --policy devnet/policy.txt"),
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(bilingual(root.UsageTemplate()))
	root.PersistentFlags().StringVar(&a.langFlag, "lang", "", "输出语言 zh|en，默认按环境 · language of the output, default by environment")
	choices(root, "lang", Chinese, English)
	root.AddCommand(
		a.initCmd(), a.startCmd(), a.devnetCmd(),
		a.submitCmd(), a.verifyCmd(), a.proofCmd(), a.anchorCmd(), a.statusCmd(), a.monitorCmd(), a.benchCmd(),
		a.memberCmd(), a.genesisCmd(), a.keyCmd(), a.backupCmd(), a.restoreCmd(), a.configCmd(), a.fsckCmd(), a.versionCmd(),
	)
	return root
}

// bilingual adds the Chinese headings to cobra's template.
func bilingual(t string) string {
	return strings.NewReplacer(
		"Usage:", "用法 · Usage:", "Aliases:", "别名 · Aliases:", "Examples:", "示例 · Examples:",
		"Available Commands:", "命令 · Commands:", "Additional Commands:", "其他命令 · More:",
		"Global Flags:", "通用选项 · Global flags:", "Flags:", "选项 · Flags:",
		"Additional help topics:", "其他帮助 · More help:",
	).Replace(t)
}

// run wraps a command: its errors without a code of their own are failures,
// while an error of cobra's parsing, which never gets here, is wrong usage.
func (a *app) run(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		lang, err := ParseLang(a.langFlag, a.getenv)
		if err != nil {
			return err
		}
		a.lang = lang
		err = f(cmd.Context(), args)
		var ce *codeError
		if err == nil || errors.As(err, &ce) {
			return err
		}
		return &codeError{code: exitFailed, err: err}
	}
}

// choices makes the shell complete a flag from a closed list.
func choices[T ~string](cmd *cobra.Command, flag string, values ...T) {
	words := make([]cobra.Completion, len(values))
	for i, v := range values {
		words[i] = cobra.Completion(v)
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a misspelt flag name
	}
}

// The common flags. Each command takes those that mean something to it.

func (a *app) homeFlag(cmd *cobra.Command) {
	a.home = defaultHome(a.getenv)
	cmd.Flags().Var((*homeValue)(&a.home), "home", "成员目录，默认 $QIFENG_HOME · the member's home, default $QIFENG_HOME")
}

func (a *app) apiFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.api, "api", a.getenv("QIFENG_API"), "节点接口地址，默认按成员目录的配置 · URL of the node's API, default by the home's configuration")
	cmd.Flags().StringVar(&a.ca, "ca", a.getenv("QIFENG_CA"), "https 接口另外信任的 CA 证书文件 (PEM) · PEM file of CA certificates to trust besides the system's, for an https API")
	a.timeoutFlag(cmd, defaultTimeout)
}

func (a *app) timeoutFlag(cmd *cobra.Command, d time.Duration) {
	cmd.Flags().DurationVar(&a.timeout, "timeout", d, "总时限 · time limit of the whole command")
}

func (a *app) keyFlag(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&a.key, "key", "", what)
}

func (a *app) readKeyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.readKey, "read-key", "", "读取密钥，默认 <home>/keys/read.pem · read key, default that of the home")
}

func (a *app) outFlag(cmd *cobra.Command, what string) {
	cmd.Flags().StringVarP(&a.outPath, "out", "o", "", what)
}

func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "输出 JSON · print JSON")
}

// homeValue keeps the default out of the help text: it differs by machine.
type homeValue home

func (h *homeValue) String() string     { return "" }
func (h *homeValue) Set(s string) error { *h = homeValue(s); return nil }
func (h *homeValue) Type() string       { return "DIR" }
