/** How sixteen stories begin. The embedded model has read fairy tales and nothing else. */

export const OPENINGS: readonly string[] = [
  'Once upon a time there was a miller who had',
  'In the middle of a great forest there lived',
  'There was once a king whose daughter',
  'Far out in the sea, where the water is as blue as',
  'A poor woodcutter had three sons, and the youngest',
  'Long ago, when wishes still came true,',
  'The old witch looked at the little girl and said,',
  'One winter evening a fox came to the door of',
  'The prince mounted his horse and rode away until',
  'At the bottom of the well there was a golden',
  'A tailor sat at his window one summer morning',
  'The little mermaid rose out of the water and saw',
  'Deep under the hill the dwarfs were hammering',
  '“Who has been sleeping in my bed?” cried',
  'The wind blew over the mountain and carried',
  'When the moon was up, the twelve princesses',
]
