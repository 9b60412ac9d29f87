# Answers each token on the standard input with what the guide's code makes of it.
require "json"
require "cardea_tokens"

$stdout.sync = true
$stdin.each_line do |line|
  answer =
    begin
      claims, kid = CardeaTokens.verify(JSON.parse(line)["token"])
      { claims: claims, kid: kid }
    rescue CardeaTokens::KeysUnavailable
      { unavailable: true }
    rescue JWT::DecodeError => e
      { refused: "#{e.class} #{e.message}" }
    end
  puts JSON.generate(answer)
end
