// Answers each token on the standard input with what the guide's code makes of it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cardeatokens"
)

func verdictOn(token string) map[string]interface{} {
	claims, kid, err := cardeatokens.Verify(token)
	switch {
	case err == nil:
		return map[string]interface{}{"claims": claims, "kid": kid}
	case errors.Is(err, cardeatokens.ErrKeysUnavailable):
		return map[string]interface{}{"unavailable": true}
	}
	return map[string]interface{}{"refused": err.Error()}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var question struct{ Token string }
		if err := json.Unmarshal(lines.Bytes(), &question); err != nil {
			panic(err)
		}
		text, err := json.Marshal(verdictOn(question.Token))
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
