// Command engine-oracle answers, with the real containers/image library, what a
// container engine does with the files of a host.
//
// It reads one JSON object a line and writes one a line, in the form of the
// corpora in tests/corpus: the files and the references go in, and come out with
// the answers. A host's files live in a temporary directory of this process, so
// that several can run side by side.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "engine-oracle:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	root, err := newRoot()
	if err != nil {
		return err
	}
	defer root.remove()

	questions := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	buffer := bufio.NewWriterSize(out, 1<<20)
	answers := json.NewEncoder(buffer)
	answers.SetEscapeHTML(false)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return buffer.Flush()
		} else if err != nil {
			return fmt.Errorf("reading a question: %w", err)
		}
		if err := root.write(&q.files); err != nil {
			return fmt.Errorf("writing the files of a host: %w", err)
		}
		if err := answers.Encode(answerTo(root, &q)); err != nil {
			return err
		}
		if err := buffer.Flush(); err != nil {
			return err
		}
	}
}
